// What the two halves of the back end for intel-ipsec-mb share: its direct functions (ipsec_mb_gcm.cc) and its job queue
// (ipsec_mb_queue.cc). Both expand keys once, at creation.
#pragma once

#ifdef MERLON_HAVE_IPSEC_MB

#include <intel-ipsec-mb.h>

#include "crypto/backends/packet_backends.h"

namespace merlon::crypto {

class IpsecMbCipher : public PacketCipher {
 public:
  using PacketCipher::PacketCipher;
  PacketBackend backend() const final { return PacketBackend::kIpsecMb; }

 protected:
  [[nodiscard]] static bool icv_matches(const std::uint8_t* expected, const PacketJob& job,
                                        const EspSizes& sizes) {
    return equal_constant_time({expected, sizes.icv}, {job.icv(sizes), sizes.icv});
  }
};

// This thread's, whose job queue is empty between calls, since every call drains what it put in. Null where the library does not
// start.
[[nodiscard]] IMB_MGR* ipsec_mb_of_thread();

// AES-GCM and AES-GMAC.
[[nodiscard]] std::unique_ptr<PacketCipher> make_ipsec_mb_gcm(const IMB_MGR& manager,
                                                              const EspTransform& transform,
                                                              const EspSizes& sizes, bool esn,
                                                              ByteView keymat);
// Everything else; null where the library lacks the cipher or the integrity algorithm.
[[nodiscard]] std::unique_ptr<PacketCipher> make_ipsec_mb_queued(IMB_MGR& manager,
                                                                 const EspTransform& transform,
                                                                 const EspSizes& sizes, bool esn,
                                                                 ByteView keymat_encr, ByteView keymat_integ);

}  // namespace merlon::crypto

#endif
