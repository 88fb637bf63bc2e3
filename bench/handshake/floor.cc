#include "bench/handshake/floor.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include <array>
#include <ctime>

#include "bench/trouble.h"

namespace merlon::bench {
namespace {

// SKEYSEED; SK_d, SK_pi, SK_pr and SK_ei, SK_er with their salts from prf+; prf(SK_p, ID) of both; KEYMAT of the Child SA from prf+.
constexpr int kPrfs = 1 + (3 * 32 + 2 * 36 + 31) / 32 + 2 + (2 * 20 + 31) / 32;
constexpr int kPskPrfs = 4;         // prf(secret, pad) and the prf over the signed octets, of both
constexpr int kNatHashes = 4;       // two sent, two checked
constexpr int kIkeAuthBytes = 300;  // one message sealed, one opened

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;

void must(bool done) {
  if (!done) give_up("OpenSSL refuses an operation of the floor");
}

Key make_key(const std::string& ke) {
  if (ke == "x25519") return Key(EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519"));
  if (ke == "ecp256") return Key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  const std::unique_ptr<EVP_PKEY_CTX, Free> context(EVP_PKEY_CTX_new_from_name(nullptr, "DH", nullptr));
  char group[] = "modp_2048";
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                                   OSSL_PARAM_construct_end()};
  EVP_PKEY* key = nullptr;
  must(EVP_PKEY_keygen_init(context.get()) == 1 && EVP_PKEY_CTX_set_params(context.get(), parameters) == 1 &&
       EVP_PKEY_generate(context.get(), &key) == 1);
  return Key(key);
}

void derive(const Key& own, const Key& peer) {
  std::array<unsigned char, 512> secret;
  std::size_t size = secret.size();
  const std::unique_ptr<EVP_PKEY_CTX, Free> context(EVP_PKEY_CTX_new_from_pkey(nullptr, own.get(), nullptr));
  must(EVP_PKEY_derive_init(context.get()) == 1 &&
       EVP_PKEY_derive_set_peer_ex(context.get(), peer.get(), 0) == 1 &&
       EVP_PKEY_derive(context.get(), secret.data(), &size) == 1);
}

class Floor {
 public:
  explicit Floor(const Kind& kind) : kind_(kind), peer_(make_key(kind.ke)) {
    if (kind.proof == Proof::kEcdsaP256) signer_.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
    if (kind.proof == Proof::kRsa2048)
      signer_.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{2048}));
    if (signer_) sign();
  }

  void run() {
    derive(make_key(kind_.ke), peer_);
    for (int i = 0; i < kPrfs + (signer_ ? 0 : kPskPrfs); ++i) prf();
    for (int i = 0; i < kNatHashes; ++i)
      must(EVP_Digest(data_.data(), 22, hash_.data(), nullptr, sha1_, nullptr) == 1);
    cipher(true);
    cipher(false);
    if (!signer_) return;
    sign();    // our AUTH
    verify();  // the peer's AUTH
    verify();  // the peer's certificate
  }

 private:
  void prf() {
    unsigned size = 0;
    must(HMAC(sha256_, data_.data(), 32, data_.data(), 100, hash_.data(), &size) != nullptr);
  }
  void cipher(bool encrypts) {
    const std::unique_ptr<EVP_CIPHER_CTX, Free> context(EVP_CIPHER_CTX_new());
    int size = 0;
    must(EVP_CipherInit_ex2(context.get(), gcm_, data_.data(), data_.data(), encrypts ? 1 : 0, nullptr) ==
             1 &&
         EVP_CipherUpdate(context.get(), nullptr, &size, data_.data(), 32) == 1 &&
         EVP_CipherUpdate(context.get(), out_.data(), &size, data_.data(), kIkeAuthBytes) == 1);
    if (encrypts) must(EVP_CipherFinal_ex(context.get(), out_.data(), &size) == 1);
  }
  void sign() {
    const std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
    signature_.resize(512);
    std::size_t size = signature_.size();
    must(EVP_DigestSignInit_ex(context.get(), nullptr, "SHA256", nullptr, nullptr, signer_.get(), nullptr) ==
             1 &&
         EVP_DigestSign(context.get(), signature_.data(), &size, data_.data(), 500) == 1);
    signature_.resize(size);
  }
  void verify() {
    const std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
    must(EVP_DigestVerifyInit_ex(context.get(), nullptr, "SHA256", nullptr, nullptr, signer_.get(),
                                 nullptr) == 1 &&
         EVP_DigestVerify(context.get(), signature_.data(), signature_.size(), data_.data(), 500) == 1);
  }

  Kind kind_;
  Key peer_, signer_;
  const EVP_MD* sha1_ = EVP_sha1();
  const EVP_MD* sha256_ = EVP_sha256();
  const EVP_CIPHER* gcm_ = EVP_aes_256_gcm();
  std::array<unsigned char, 512> data_{}, out_{};
  std::array<unsigned char, 64> hash_{};
  std::vector<unsigned char> signature_;
};

double cpu_s() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

}  // namespace

double floor_s(const Kind& kind, std::size_t count) {
  Floor floor(kind);
  floor.run();
  const double begin = cpu_s();
  for (std::size_t i = 0; i < count; ++i) floor.run();
  return (cpu_s() - begin) / static_cast<double>(count);
}

}  // namespace merlon::bench
