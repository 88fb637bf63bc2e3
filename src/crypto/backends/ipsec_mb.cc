// ESP through intel-ipsec-mb: which half of the back end a transform goes to.
#include "crypto/backends/ipsec_mb.h"

#include <utility>

#include "crypto/backends/packet_backends.h"

#ifdef MERLON_HAVE_IPSEC_MB

namespace merlon::crypto {
namespace {

tl::unexpected<Error> not_here(const EspTransform& transform) {
  return fail(ErrorCode::kUnsupported, "intel-ipsec-mb does not do {} with {}",
              name(transform.encr, transform.key_bits), name(transform.integ));
}

}  // namespace

IMB_MGR* ipsec_mb_of_thread() {
  struct Free {
    void operator()(IMB_MGR* manager) const { free_mb_mgr(manager); }
  };
  static thread_local const std::unique_ptr<IMB_MGR, Free> manager_of_thread([] {
    IMB_MGR* manager = alloc_mb_mgr(0);
    if (manager != nullptr) {
      init_mb_mgr_auto(manager, nullptr);
      if (manager->imb_errno != 0) free_mb_mgr(std::exchange(manager, nullptr));
    }
    return manager;
  }());
  return manager_of_thread.get();
}

Result<std::unique_ptr<PacketCipher>> make_ipsec_mb_cipher(const EspTransform& transform, bool esn,
                                                           ByteView keymat_encr, ByteView keymat_integ) {
  IMB_MGR* manager = ipsec_mb_of_thread();
  if (manager == nullptr) return not_here(transform);
  MERLON_TRY(const EspSizes sizes, esp_sizes(transform));
  if (is_gcm(transform.encr) || transform.encr == EncrId::kNullAuthAesGmac)
    return make_ipsec_mb_gcm(*manager, transform, sizes, esn, keymat_encr);
  auto cipher = make_ipsec_mb_queued(*manager, transform, sizes, esn, keymat_encr, keymat_integ);
  if (cipher == nullptr) return not_here(transform);
  return cipher;
}

}  // namespace merlon::crypto

#else

namespace merlon::crypto {

Result<std::unique_ptr<PacketCipher>> make_ipsec_mb_cipher(const EspTransform& /*transform*/, bool /*esn*/,
                                                           ByteView /*keymat_encr*/,
                                                           ByteView /*keymat_integ*/) {
  return fail(ErrorCode::kUnsupported, "this build has no intel-ipsec-mb");
}

}  // namespace merlon::crypto

#endif
