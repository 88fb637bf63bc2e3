#include "crypto/packet_cipher.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <thread>

#include "crypto/backends/gcm_vaes.h"
#include "crypto/backends/packet_backends.h"
#include "crypto/integrity.h"
#include "crypto/message_cipher.h"
#include "crypto/test_support.h"

namespace merlon::crypto {
namespace {

constexpr PacketBackend kBackends[] = {PacketBackend::kVaes, PacketBackend::kIpsecMb,
                                       PacketBackend::kOpenssl};
constexpr IntegId kIntegs[] = {IntegId::kHmacSha1_96,      IntegId::kAesXcbc96,
                               IntegId::kAesCmac96,        IntegId::kHmacSha2_256_128,
                               IntegId::kHmacSha2_384_192, IntegId::kHmacSha2_512_256};

std::vector<EspTransform> all_transforms() {
  std::vector<EspTransform> out{{EncrId::kChacha20Poly1305, 256, IntegId::kNone}};
  for (const unsigned bits : {128U, 192U, 256U}) {
    for (const EncrId id : {EncrId::kAesGcm8, EncrId::kAesGcm12, EncrId::kAesGcm16, EncrId::kAesCcm8,
                            EncrId::kAesCcm12, EncrId::kAesCcm16, EncrId::kNullAuthAesGmac})
      out.push_back({id, bits, IntegId::kNone});
    for (const EncrId id : {EncrId::kAesCbc, EncrId::kAesCtr})
      for (const IntegId integ : kIntegs) out.push_back({id, bits, integ});
  }
  for (const IntegId integ : kIntegs) out.push_back({EncrId::kNull, 0, integ});
  return out;
}

std::string text(const EspTransform& transform, bool esn) {
  return name(transform.encr, transform.key_bits) + " " + name(transform.integ) + (esn ? " ESN" : "");
}

// What a back end has where the CPU has what it wants: the kernel AES-GCM, ipsec-mb 1.3 all but AES-CCM with 192 bits.
bool has(PacketBackend backend, const EspTransform& transform) {
  const bool is_ccm = transform.encr == EncrId::kAesCcm8 || transform.encr == EncrId::kAesCcm12 ||
                      transform.encr == EncrId::kAesCcm16;
  if (backend == PacketBackend::kVaes) return is_gcm(transform.encr) && vaes::is_available();
  return backend == PacketBackend::kOpenssl || !(is_ccm && transform.key_bits == 192);
}

std::unique_ptr<PacketCipher> make(PacketBackend backend, const EspTransform& transform, bool esn,
                                   ByteView key_encr, ByteView key_integ) {
  auto cipher = PacketCipher::create_with_backend(backend, transform, esn, key_encr, key_integ);
  if (!cipher) return nullptr;
  EXPECT_EQ((*cipher)->backend(), backend);
  return std::move(*cipher);
}

struct KnownPacket {
  EncrId encr;
  std::string_view key;  // with salt
  std::string_view additional_data;
  std::string_view iv;
  std::string_view plaintext;
  std::string_view ciphertext;
  std::string_view icv;
};

void expect_packet(const KnownPacket& known) {
  const Bytes key = hex(known.key);
  const Bytes aad = hex(known.additional_data);
  const bool esn = aad.size() == 12;
  const Bytes header = esn ? concat(ByteView(aad).first(4), ByteView(aad).last(4)) : aad;
  std::uint32_t high = 0;
  for (std::size_t i = 4; esn && i < 8; ++i) high = high << 8U | aad[i];
  const EspTransform transform{known.encr, static_cast<unsigned>(8 * (key.size() - 4)), IntegId::kNone};
  for (const PacketBackend backend : kBackends) {
    SCOPED_TRACE(name(backend) + " " + std::string(known.icv));
    const auto cipher = make(backend, transform, esn, key, {});
    if (!cipher) continue;
    TestPacket packet(*cipher, header, hex(known.iv), hex(known.plaintext), high);
    seal_one(*cipher, packet);
    EXPECT_EQ(to_hex(packet.data()), to_hex(hex(known.ciphertext)));
    EXPECT_EQ(to_hex(packet.icv()), to_hex(hex(known.icv)));
    EXPECT_TRUE(open_one(*cipher, packet));
    EXPECT_EQ(to_hex(packet.data()), to_hex(hex(known.plaintext)));
  }
}

TEST(PacketCipher, Rfc7634AppendixA) {
  expect_packet({EncrId::kChacha20Poly1305,
                 "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3",
                 "0102030400000005", "1011121314151617",
                 "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f101"
                 "1121314151617"
                 "18191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363701020204",
                 "24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099d52844eb61aa95dfab4"
                 "c02f72aa71e7c"
                 "4c4f64c9befe2facc638e8f3cbec163fac469b502773f6fb94e664da9165b82829f641e0",
                 "76aaa8266b7fb0f7b11b369907e1ad43"});
}

// draft-mcgrew-gcm-test-01: the vectors for RFC 4106, with and without ESN.
TEST(PacketCipher, GcmPackets) {
  const KnownPacket cases[] = {
      {EncrId::kAesGcm16, "4c80cdefbb5d10da906ac73c3613a6342e443b68", "000043218765432100000000",
       "4956ed7e3b244cfe",
       "45000048699a000080114db7c0a80102c0a801010a9bf15638d301000001000000000000045f736970045f756470037369700"
       "9637962657263"
       "69747902646b000021000101020201",
       "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34cfa2436f14a3f3cf65925bf1f4a13c5d15b21"
       "e1884f5ff6247"
       "aeabb786b93bce61bc17d768fd9732",
       "459018148f6cbe722fd04796562dfdb4"},
      {EncrId::kAesGcm16, "feffe9928665731c6d6a8f9467308308cafebabe", "0000a5f80000000a", "facedbaddecaf888",
       "4500003e698f000080114dccc0a80102c0a801010a980035002a2343b2d001000001000000000000037369700963796265726"
       "369747902646b"
       "00000100010001",
       "deb22cd9b07c72c16e3a65beeb8df304a5a5897d33ae530f1ba76d5d114d2a5c3de81827c10e9a4f51330d0eec416642cfbb8"
       "5a5b47e48a4ec"
       "3b9ba95d918bd1",
       "83b70d3aa8bc6ee4c309e9d85a41ad4a"},
      {EncrId::kAesGcm16, "abbccddef00112233445566778899aababbccddef00112233445566778899aab11223344",
       "4a2cbfe300000002", "0102030405060708",
       "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf0000020405b40101040201020"
       "201",
       "ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763748a637985771d347f0545659f14e99def842"
       "d8e",
       "b335f4eecfdbf831824b4c4915956c96"},
      {EncrId::kAesGcm16, "feffe9928665731c6d6a8f9467308308feffe9928665731ccafebabe", "0000a5f80000000a",
       "facedbaddecaf888", "45000028a4ad4000400678800a01038f0a010612802306b8cb712602dd6bb03e501016d075680001",
       "a5b1f8066029aea40e598b8122de02420938b3ab33f828e687b8858b5bfbdbd0315b27452144cc77",
       "95457b9652037f5318027b5b4cd7a636"},
      {EncrId::kAesGcm16, "7d773d00c144c525ac619d18c84a3f47d9664267", "335467aeffffffff", "43457e9182443bc6",
       "01020201", "437f866b", "cb3f699fe9b0822bac961c4504bef270"},
      {EncrId::kAesGcm16, "6c6567616c697a656d6172696a75616e61616e64646f69746265666f726569617475726e",
       "796b6963ffffffffffffffff", "333021696765746d",
       "45000030da3a00008001df3bc0a80005c0a800010800c6cd020007006162636465666768696a6b6c6d6e6f707172737401020"
       "201",
       "f97ab2aa356d8edce17644ac8c78e25dd24dedbb29ebf1b64a274b39b49c3a864cd3d78ca4ae68a32b42458fb57dbe821dcc6"
       "3b9",
       "d0937ba2945f669368661a329fb4c053"},
  };
  for (const KnownPacket& known : cases) expect_packet(known);
}

// The vector of the same draft for RFC 4543.
TEST(PacketCipher, GmacPacket) {
  constexpr std::string_view kClear =
      "45000030da3a00008001df3bc0a80005c0a800010800c6cd020007006162636465666768696a6b6c6d6e6f7071727374010202"
      "01";
  expect_packet({EncrId::kNullAuthAesGmac, "4c80cdefbb5d10da906ac73c3613a63422433c64", "0000432100000007",
                 "0000000000000000", kClear, kClear, "f2a9a836e155106aa8dcd618e4099aaa"});
}

// RFC 3602 section 4, case 5: an ESP packet; the ICVs are Python's hmac over SPI | sequence number | IV |
// ciphertext, and with ESN the high half 5 behind it.
TEST(PacketCipher, CbcPacketWithHmac) {
  struct Case {
    IntegId integ;
    std::string_view icv;
    std::string_view icv_with_esn;
  };
  const Case cases[] = {
      {IntegId::kHmacSha1_96, "9a338e6bd44d34499ec1548b", "d64c0fae8a7a381a66086ecf"},
      {IntegId::kHmacSha2_256_128, "29dcb883222069e2a5465186d6e51f05", "fe7ac8550e7b5257c4973a9617e1a733"},
      {IntegId::kHmacSha2_384_192, "1c05d8d1494ffa44852610fc1a67907f7ac1ad4b2b371e5f",
       "e4ab602da532d13b94fa7e5dfb3f722d32efc77d63b5c14e"},
      {IntegId::kHmacSha2_512_256, "c84543448ba2f1a6c1f2f7b38800e190dcd520a91bbe072e33f674555c06800a",
       "4f782276ff18b4f164c688553d71ab2ae8f7805718e53eeb444be8fa7e3cfa15"},
  };
  for (const Case& expected : cases)
    for (const PacketBackend backend : kBackends)
      for (const bool esn : {false, true}) {
        const EspTransform transform{EncrId::kAesCbc, 128, expected.integ};
        const auto cipher = make(backend, transform, esn, hex("90d382b410eeba7ad938c46cec1a82bf"),
                                 counting(integrity_key_size(expected.integ)));
        if (!cipher) continue;
        SCOPED_TRACE(name(backend) + " " + text(transform, esn));
        TestPacket packet(*cipher, hex("0000432100000001"), hex("e96e8c08ab465763fd098d45dd3ff893"),
                          hex("08000ebda70a00008e9c083db95b070008090a0b0c0d0e0f101112131415161718191a1b1c1d1e"
                              "1f20212223242526272829"
                              "2a2b2c2d2e2f30313233343536370102030405060708090a0b0c0d0e0e01"),
                          5);
        seal_one(*cipher, packet);
        EXPECT_EQ(
            to_hex(packet.data()),
            "f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b4898dc856a4699e523a55db080b59ec3a8e4b7e52"
            "775b07d1db34ed9c538ab50c551b874aa269add047ad2d5913ac19b7cfbad4a6");
        EXPECT_EQ(to_hex(packet.icv()), esn ? expected.icv_with_esn : expected.icv);
        EXPECT_TRUE(open_one(*cipher, packet));
      }
}

TEST(PacketCipher, CtrPacketAsInRfc3686) {
  for (const PacketBackend backend : kBackends) {
    const EspTransform transform{EncrId::kAesCtr, 128, IntegId::kHmacSha2_256_128};
    const auto cipher =
        make(backend, transform, false, hex("7691be035e5020a8ac6e618529f9a0dc 00e0017b"), counting(32));
    if (!cipher) continue;
    TestPacket packet(*cipher, counting(8), hex("27777f3f4a1786f0"), counting(36));
    seal_one(*cipher, packet);
    EXPECT_EQ(to_hex(packet.data()),
              "c1cf48a89f2ffdd9cf4652e9efdb72d74540a42bde6d7836d59a5ceaaef3105325b2072f");
  }
}

// RFC 4543 section 3: GMAC is GCM with everything in the additional data, so an IKE cipher computes the same
// ICV.
TEST(PacketCipher, GmacIsGcmOverAdditionalData) {
  EXPECT_TRUE(rc::check([](Bytes data, bool esn, std::uint32_t high, std::uint64_t iv) {
    data.push_back(1);
    const Bytes key = counting(20);
    const auto gcm =
        MessageCipher::create({EncrId::kAesGcm16, 128, IntegId::kNone}, Secret::copy_of(key), {}, iv).value();
    for (const PacketBackend backend : kBackends) {
      const auto cipher = make(backend, {EncrId::kNullAuthAesGmac, 128, IntegId::kNone}, esn, key, {});
      if (!cipher) continue;
      Bytes wire_iv(8);
      for (std::size_t i = 0; i < 8; ++i) wire_iv[i] = static_cast<std::uint8_t>(iv >> (56 - 8 * i));
      const Bytes header = counting(8, 3);
      TestPacket packet(*cipher, header, wire_iv, data, high);
      seal_one(*cipher, packet);
      Bytes aad = to_bytes(ByteView(header).first(4));
      for (unsigned i = 0; esn && i < 4; ++i) aad.push_back(static_cast<std::uint8_t>(high >> (24 - 8 * i)));
      const Bytes whole = concat(aad, ByteView(header).last(4), wire_iv, data);
      RC_ASSERT(gcm->open(whole, concat(wire_iv, packet.icv())));
    }
  }));
}

// A burst of packets of all sizes, for one transform, through a back end and OpenSSL.
void compare_with_openssl(PacketBackend backend, const EspTransform& transform, bool esn) {
  const EspKeySizes keys = esp_key_sizes(transform).value();
  const EspSizes sizes = esp_sizes(transform).value();
  EXPECT_TRUE(rc::check(text(transform, esn), [&](std::uint64_t seed) {
    SeededRng rng(seed);
    const Bytes key_encr = rng.bytes(keys.encr);
    const Bytes key_integ = rng.bytes(keys.integ);
    const auto fast = make(backend, transform, esn, key_encr, key_integ);
    const auto slow = make(PacketBackend::kOpenssl, transform, esn, key_encr, key_integ);
    RC_ASSERT(slow != nullptr);
    if (!fast) return;
    const std::size_t count = 1 + rng.below(rng.below(8) == 0 ? 150 : 20);
    std::vector<TestPacket> clear;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t length = (1 + rng.below(rng.below(4) == 0 ? 400 : 12)) * sizes.block;
      clear.emplace_back(*slow, rng.bytes(8), rng.bytes(sizes.iv), rng.bytes(length),
                         rng.uniform<std::uint32_t>());
    }
    std::vector<TestPacket> by_fast = clear;
    std::vector<TestPacket> by_slow = clear;
    std::vector<PacketJob> fast_jobs;
    std::vector<PacketJob> slow_jobs;
    for (std::size_t i = 0; i < count; ++i) {
      fast_jobs.push_back(by_fast[i].job());
      slow_jobs.push_back(by_slow[i].job());
    }
    fast->seal(fast_jobs);
    slow->seal(slow_jobs);
    for (std::size_t i = 0; i < count; ++i) RC_ASSERT(by_fast[i].bytes() == by_slow[i].bytes());

    // Alter some, then let each open what the other sealed.
    std::vector<bool> altered(count);
    for (std::size_t i = 0; i < count; ++i) {
      altered[i] = rng.below(3) == 0;
      if (!altered[i]) continue;
      const std::size_t where = rng.below(by_fast[i].bytes().size());
      const auto flip = static_cast<std::uint8_t>(1U + rng.below(255));
      for (auto* packets : {&by_fast, &by_slow}) {
        std::uint8_t& byte = (*packets)[i].bytes()[where];
        byte = static_cast<std::uint8_t>(byte ^ flip);
      }
    }
    const std::vector<TestPacket> received = by_fast;
    fast->open(slow_jobs);
    slow->open(fast_jobs);
    for (std::size_t i = 0; i < count; ++i) {
      RC_ASSERT(slow_jobs[i].ok == !altered[i]);
      RC_ASSERT(fast_jobs[i].ok == !altered[i]);
      // The ICV's place is as it came, also where the high half of the ESN stood there meanwhile.
      RC_ASSERT(equal(by_slow[i].icv(), received[i].icv()));
      if (altered[i]) continue;
      RC_ASSERT(equal(by_fast[i].data(), clear[i].data()));
      RC_ASSERT(equal(by_slow[i].data(), clear[i].data()));
    }
    if (!esn) return;
    // Another high half is another packet.
    std::vector<TestPacket> again = clear;
    PacketJob job = again[0].job();
    slow->seal({&job, 1});
    ++job.sequence_high;
    TestPacket copy = again[0];
    fast->open({&job, 1});
    RC_ASSERT(!job.ok);
    PacketJob copied = copy.job();
    ++copied.sequence_high;
    slow->open({&copied, 1});
    RC_ASSERT(!copied.ok);
  }));
}

TEST(PacketCipher, BackEndsAgree) {
  for (const EspTransform& transform : all_transforms()) {
    ASSERT_TRUE(is_supported(transform));
    for (const bool esn : {false, true}) {
      SCOPED_TRACE(text(transform, esn));
      for (const PacketBackend backend : {PacketBackend::kVaes, PacketBackend::kIpsecMb})
        if (has(backend, transform)) compare_with_openssl(backend, transform, esn);
    }
  }
}

#ifdef MERLON_HAVE_IPSEC_MB
// A burst of many keys, of several algorithms, gives what each packet by itself gives.
TEST(PacketCipher, ABurstOfManyKeysIsAsPacketByPacket) {
  EXPECT_TRUE(rc::check([](std::uint64_t seed) {
    SeededRng rng(seed);
    const std::vector<EspTransform> transforms = all_transforms();
    std::vector<std::unique_ptr<PacketCipher>> keys, alone;
    const std::size_t kinds = 1 + rng.below(4);
    std::vector<EspTransform> chosen;
    for (std::size_t i = 0; i < kinds; ++i) chosen.push_back(transforms[rng.below(transforms.size())]);
    for (std::size_t i = 0; i < 1 + rng.below(12); ++i) {
      const EspTransform& transform = chosen[rng.below(kinds)];
      const EspKeySizes sizes = esp_key_sizes(transform).value();
      const Bytes encr = rng.bytes(sizes.encr), integ = rng.bytes(sizes.integ);
      const bool esn = rng.below(2) == 0;
      keys.push_back(PacketCipher::create(transform, esn, encr, integ).value());
      alone.push_back(
          PacketCipher::create_with_backend(PacketBackend::kOpenssl, transform, esn, encr, integ).value());
    }
    const std::size_t count = 1 + rng.below(rng.below(6) == 0 ? 150 : 30);
    std::vector<TestPacket> clear;
    std::vector<PacketCipher*> ciphers, slow;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t key = i != 0 && rng.below(2) == 0 ? 0 : rng.below(keys.size());
      ciphers.push_back(keys[key].get());
      slow.push_back(alone[key].get());
      clear.emplace_back(*keys[key], rng.bytes(8), rng.bytes(16), rng.bytes((1 + rng.below(20)) * 16),
                         rng.uniform<std::uint32_t>());
    }
    std::vector<TestPacket> together = clear, apart = clear;
    std::vector<PacketJob> jobs;
    for (std::size_t i = 0; i < count; ++i) {
      jobs.push_back(together[i].job());
      PacketJob job = apart[i].job();
      slow[i]->seal({&job, 1});
    }
    PacketCipher::seal_all(jobs, ciphers);
    for (std::size_t i = 0; i < count; ++i) RC_ASSERT(jobs[i].ok && together[i].bytes() == apart[i].bytes());

    std::vector<bool> altered(count);
    for (std::size_t i = 0; i < count; ++i) {
      altered[i] = rng.below(4) == 0;
      std::uint8_t& byte = together[i].bytes()[rng.below(together[i].bytes().size())];
      if (altered[i]) byte = static_cast<std::uint8_t>(byte ^ 0x10U);
    }
    PacketCipher::open_all(jobs, ciphers);
    for (std::size_t i = 0; i < count; ++i) {
      RC_ASSERT(jobs[i].ok == !altered[i]);
      if (!altered[i]) RC_ASSERT(equal(together[i].data(), clear[i].data()));
    }
  }));
}

TEST(PacketCipher, TheFastestBackEndIsPreferredOfThoseAllowed) {
  for (const EspTransform& transform : all_transforms()) {
    const EspKeySizes keys = esp_key_sizes(transform).value();
    for (const PacketBackend fastest : kBackends) {
      const auto expected =
          *std::find_if(std::find(std::begin(kBackends), std::end(kBackends), fastest), std::end(kBackends),
                        [&](PacketBackend backend) { return has(backend, transform); });
      const auto cipher =
          PacketCipher::create(transform, true, counting(keys.encr), counting(keys.integ), fastest).value();
      EXPECT_EQ(cipher->backend(), expected) << text(transform, true);
    }
  }
}
#endif

TEST(PacketCipher, ImpossibleLengthsAreNotOk) {
  for (const EspTransform& transform : all_transforms()) {
    const EspKeySizes keys = esp_key_sizes(transform).value();
    for (const PacketBackend backend : kBackends) {
      const auto cipher = make(backend, transform, false, counting(keys.encr), counting(keys.integ));
      if (!cipher) continue;
      for (const std::size_t length : {std::size_t{0}, std::size_t{1}, std::size_t{15}, std::size_t{17},
                                       std::size_t{kMaxPacketData}, std::size_t{kMaxPacketData + 1}}) {
        TestPacket packet(*cipher, counting(8), counting(16), Bytes(length, 7));
        EXPECT_FALSE(open_one(*cipher, packet));
      }
    }
  }
}

TEST(PacketCipher, TheLongestPacketsPass) {
  for (const EspTransform& transform : all_transforms()) {
    SCOPED_TRACE(text(transform, true));
    const EspKeySizes keys = esp_key_sizes(transform).value();
    Bytes sealed;
    for (const PacketBackend backend : kBackends) {
      const auto cipher = make(backend, transform, true, counting(keys.encr), counting(keys.integ));
      if (!cipher) continue;
      const std::size_t length = kMaxPacketData / cipher->block_size() * cipher->block_size();
      const Bytes clear(length, 0x5a);
      TestPacket packet(*cipher, counting(8), counting(16), clear, 9);
      seal_one(*cipher, packet);
      EXPECT_TRUE(sealed.empty() || equal(packet.bytes(), sealed));
      sealed = packet.bytes();
      EXPECT_TRUE(open_one(*cipher, packet));
      EXPECT_TRUE(equal(packet.data(), clear));
    }
  }
}

TEST(PacketCipher, ACipherMayBeMadeOnAnotherThread) {
  for (const EspTransform& transform : {EspTransform{EncrId::kAesGcm16, 256, IntegId::kNone},
                                        EspTransform{EncrId::kAesCbc, 256, IntegId::kHmacSha1_96}}) {
    const EspKeySizes keys = esp_key_sizes(transform).value();
    const auto cipher =
        PacketCipher::create(transform, false, counting(keys.encr), counting(keys.integ)).value();
    bool ok = false;
    std::thread([&] {
      TestPacket packet(*cipher, counting(8), counting(16), counting(64));
      seal_one(*cipher, packet);
      ok = open_one(*cipher, packet);
    }).join();
    EXPECT_TRUE(ok);
  }
}

TEST(PacketCipher, SizesAndRefusals) {
  const EspSizes cbc = esp_sizes({EncrId::kAesCbc, 256, IntegId::kHmacSha2_256_128}).value();
  EXPECT_EQ(cbc.iv, 16U);
  EXPECT_EQ(cbc.icv, 16U);
  EXPECT_EQ(cbc.block, 16U);
  const EspSizes gcm = esp_sizes({EncrId::kAesGcm8, 128, IntegId::kNone}).value();
  EXPECT_EQ(gcm.iv, 8U);
  EXPECT_EQ(gcm.icv, 8U);
  EXPECT_EQ(gcm.block, 4U);
  const EspSizes null = esp_sizes({EncrId::kNull, 0, IntegId::kHmacSha1_96}).value();
  EXPECT_EQ(null.iv, 0U);
  EXPECT_EQ(null.icv, 12U);
  EXPECT_EQ(esp_key_sizes({EncrId::kNullAuthAesGmac, 192, IntegId::kNone})->encr, 28U);
  const EspTransform refused[] = {{EncrId::kNull, 0, IntegId::kNone},
                                  {EncrId::kAesCbc, 128, IntegId::kNone},
                                  {EncrId::kAesGcm16, 128, IntegId::kHmacSha1_96},
                                  {EncrId::kAesGcm16, 100, IntegId::kNone},
                                  {EncrId::kDes3, 0, IntegId::kHmacSha1_96},
                                  {static_cast<EncrId>(4711), 128, static_cast<IntegId>(4711)}};
  for (const EspTransform& transform : refused) {
    EXPECT_FALSE(is_supported(transform));
    EXPECT_EQ(PacketCipher::create(transform, false, {}, {}).error().code, ErrorCode::kUnsupported);
  }
  EXPECT_EQ(
      PacketCipher::create({EncrId::kAesGcm16, 128, IntegId::kNone}, false, counting(16), {}).error().code,
      ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace merlon::crypto
