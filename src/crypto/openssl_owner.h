// How objects of OpenSSL are owned; for .cc files of crypto/ and pki/.
#pragma once

namespace merlon::crypto {

// The deleter of a std::unique_ptr, made of OpenSSL's own function.
template <auto kFree>
struct OpensslDeleter {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};

}  // namespace merlon::crypto
