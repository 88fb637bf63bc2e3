#include "crypto/hash.h"

#include "base/check.h"
#include "crypto/backends/openssl_util.h"

namespace merlon::crypto {
namespace {

// One context a thread: NAT detection hashes for every message of IKE_SA_INIT.
void digest(const EVP_MD* algorithm, std::initializer_list<ByteView> parts, std::uint8_t* out) {
  static thread_local const MdCtxPtr ctx(EVP_MD_CTX_new());
  MERLON_ASSERT(ctx != nullptr && EVP_DigestInit_ex2(ctx.get(), algorithm, nullptr) == 1);
  for (const ByteView part : parts) MERLON_ASSERT(EVP_DigestUpdate(ctx.get(), part.data(), part.size()) == 1);
  MERLON_ASSERT(EVP_DigestFinal_ex(ctx.get(), out, nullptr) == 1);
}

template <std::size_t kSize>
std::array<std::uint8_t, kSize> digest_of(const MdPtr& algorithm, std::initializer_list<ByteView> parts) {
  std::array<std::uint8_t, kSize> out{};
  digest(algorithm.get(), parts, out.data());
  return out;
}

}  // namespace

std::array<std::uint8_t, 20> sha1(std::initializer_list<ByteView> parts) {
  static const MdPtr algorithm(EVP_MD_fetch(nullptr, "SHA1", nullptr));
  return digest_of<20>(algorithm, parts);
}

std::array<std::uint8_t, 32> sha2_256(std::initializer_list<ByteView> parts) {
  static const MdPtr algorithm(EVP_MD_fetch(nullptr, "SHA256", nullptr));
  return digest_of<32>(algorithm, parts);
}

std::array<std::uint8_t, 48> sha2_384(std::initializer_list<ByteView> parts) {
  static const MdPtr algorithm(EVP_MD_fetch(nullptr, "SHA384", nullptr));
  return digest_of<48>(algorithm, parts);
}

std::array<std::uint8_t, 64> sha2_512(std::initializer_list<ByteView> parts) {
  static const MdPtr algorithm(EVP_MD_fetch(nullptr, "SHA512", nullptr));
  return digest_of<64>(algorithm, parts);
}

Result<Bytes> hash(HashId id, std::initializer_list<ByteView> parts) {
  switch (id) {
    case HashId::kSha1:
      return to_bytes(sha1(parts));
    case HashId::kSha2_256:
      return to_bytes(sha2_256(parts));
    case HashId::kSha2_384:
      return to_bytes(sha2_384(parts));
    case HashId::kSha2_512:
      return to_bytes(sha2_512(parts));
    default:
      return fail(ErrorCode::kUnsupported, "hash algorithm {} is not supported", name(id));
  }
}

}  // namespace merlon::crypto
