// ESP packets that others made.
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "esp/test_peers.h"
#include "wire/esp.h"
#include "wire/udp_encap.h"

namespace merlon::esp {
namespace {

using test::Gateway;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Bytes hex(std::string_view text) {
  std::string digits;
  for (const char c : text)
    if (c != ' ' && c != '\n') digits += c;
  return from_hex(digits).value();
}

policy::ChildSaPtr inbound_sa(Spi spi, const policy::EspAlgorithms& algorithms, ByteView encr, ByteView integ) {
  auto connection = std::make_shared<policy::Connection>();
  connection->name = "captured";
  connection->children.emplace_back();
  auto sa = std::make_shared<policy::ChildSa>();
  sa->id = {1};
  sa->connection = connection;
  sa->inbound_spi = spi;
  sa->outbound_spi = Spi{4711};
  sa->algorithms = algorithms;
  for (policy::DirectionKeys* keys : {&sa->inbound, &sa->outbound}) {
    keys->encryption = Secret::copy_of(encr);
    keys->integrity = Secret::copy_of(integ);
  }
  sa->local_ts = sa->remote_ts = test::ts("0.0.0.0/0");
  return sa;
}

// RFC 7634 appendix A: a whole ESP packet with AES's place taken by ChaCha20-Poly1305.
TEST(Vectors, Rfc7634AppendixA) {
  const Bytes key = hex(R"(80818283 84858687 88898a8b 8c8d8e8f 90919293 94959697 98999a9b 9c9d9e9f a0a1a2a3)");
  const Bytes inner = hex(R"(
      45 00 00 54 a6 f2 00 00 40 01 e7 78 c6 33 64 05 c0 00 02 05 08 00 5b 7a 3a 08 00 00 55 3b ec 10
      00 07 36 27 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f 20 21 22 23
      24 25 26 27 28 29 2a 2b 2c 2d 2e 2f 30 31 32 33 34 35 36 37)");
  const Bytes packet = hex(R"(
      01 02 03 04 00 00 00 05 10 11 12 13 14 15 16 17 24 03 94 28 b9 7f 41 7e 3c 13 75 3a 4f 05 08 7b
      67 c3 52 e6 a7 fa b1 b9 82 d4 66 ef 40 7a e5 c6 14 ee 80 99 d5 28 44 eb 61 aa 95 df ab 4c 02 f7
      2a a7 1e 7c 4c 4f 64 c9 be fe 2f ac c6 38 e8 f3 cb ec 16 3f ac 46 9b 50 27 73 f6 fb 94 e6 64 da
      91 65 b8 28 29 f6 41 e0 76 aa a8 26 6b 7f b0 f7 b1 1b 36 99 07 e1 ad 43)");
  Gateway gateway(1);
  ASSERT_TRUE(gateway.engine.install(
      inbound_sa(Spi{0x01020304}, {EncrId::kChacha20Poly1305, 256, IntegId::kNone, false}, key, {})));
  EXPECT_THAT(gateway.unprotect({Gateway::Received{packet, {}}}), ElementsAre(inner));
}

// --- captures with keys

struct CapturedKey {
  Spi spi;
  std::string address, algorithm;
  Bytes key;
};

std::filesystem::path captures() {
  const char* folder = std::getenv("MERLON_VECTORS");
  const auto beside_checkout = std::filesystem::path(__FILE__).parent_path() / "../../../shared/vectors";
  return (folder != nullptr ? std::filesystem::path(folder) : beside_checkout) / "captures";
}

// tcpdump's format: SPI@ADDRESS ALGORITHM:0xKEY, the integrity key behind the encryption key.
std::vector<CapturedKey> read_keys(const std::filesystem::path& file) {
  std::vector<CapturedKey> keys;
  std::ifstream in(file);
  for (std::string who, what; in >> who;) {
    if (who.front() == '#') {
      std::getline(in, what);
      continue;
    }
    in >> what;
    const std::size_t at = who.find('@'), colon = what.find(':');
    keys.push_back({Spi{static_cast<std::uint32_t>(std::stoul(who.substr(0, at), nullptr, 16))}, who.substr(at + 1),
                    what.substr(0, colon), from_hex(what.substr(colon + 3)).value()});
  }
  return keys;
}

struct CapturedPacket {
  std::string destination;
  Bytes esp;
};

// The ESP packets, native or in UDP, of a classic pcap file of Ethernet, raw IP, or Linux cooked frames.
std::vector<CapturedPacket> read_esp(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  const Bytes all{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  std::vector<CapturedPacket> packets;
  if (all.size() < 24) return packets;
  const bool little = all[0] == 0xd4;
  const auto u32 = [&](std::size_t at) {
    const std::uint32_t value = wire::load_u32(all, at);
    return little ? __builtin_bswap32(value) : value;
  };
  const std::uint32_t link = u32(20);
  const std::size_t link_size = link == 1 ? 14 : link == 113 ? 16 : link == 0 ? 4 : 0;
  for (std::size_t at = 24; at + 16 <= all.size();) {
    const std::size_t size = u32(at + 8);
    at += 16;
    if (size > all.size() - at || size < link_size) break;
    const ByteView frame = ByteView(all).subspan(at + link_size, size - link_size);
    at += size;
    const auto view = wire::parse_packet(frame);
    if (!view || view->is_fragment) continue;
    ByteView esp = frame.subspan(view->upper_offset, view->total_length - view->upper_offset);
    if (view->protocol == IpProtocol::kUdp) {
      if (esp.size() < 8) continue;
      const auto datagram = wire::classify_udp_encap(esp.subspan(8));
      if (datagram.kind != wire::UdpEncapKind::kEsp) continue;
      esp = datagram.payload;
    } else if (view->protocol != IpProtocol::kEsp) {
      continue;
    }
    packets.push_back({view->destination.to_string(), to_bytes(esp)});
  }
  return packets;
}

// --- what is done to the captures before the engine gets them. The file has no integrity keys, and 3DES is not ours.

constexpr std::size_t kHmac96 = 12;
const Bytes kTestIntegrityKey(20, 0x77);

// Takes a 3DES-CBC layer off with OpenSSL; what it carried, and the next header.
std::pair<Bytes, IpProtocol> without_3des(ByteView esp, ByteView key) {
  const ByteView iv = esp.subspan(8, 8), data = esp.subspan(16, esp.size() - 16 - kHmac96);
  Bytes plaintext(data.size());
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  int length = 0;
  EXPECT_EQ(EVP_DecryptInit_ex(context.get(), EVP_des_ede3_cbc(), nullptr, key.data(), iv.data()), 1);
  EVP_CIPHER_CTX_set_padding(context.get(), 0);
  EXPECT_EQ(EVP_DecryptUpdate(context.get(), plaintext.data(), &length, data.data(), static_cast<int>(data.size())), 1);
  const auto trailer = wire::parse_esp_trailer(plaintext);
  if (!trailer) return {};
  plaintext.resize(trailer->payload_size);
  return {plaintext, trailer->next_header};
}

// The packet with an ICV of ours in place of the one that nobody can check.
Bytes with_test_icv(Bytes esp) {
  const std::size_t covered = esp.size() - kHmac96;
  std::array<std::uint8_t, 20> mac{};
  HMAC(EVP_sha1(), kTestIntegrityKey.data(), static_cast<int>(kTestIntegrityKey.size()), esp.data(), covered, mac.data(), nullptr);
  std::copy_n(mac.begin(), kHmac96, esp.begin() + static_cast<std::ptrdiff_t>(covered));
  return esp;
}

class Captures : public ::testing::Test {
 protected:
  // One ESP packet, and what it carries if that is ESP again.
  void look_at(const CapturedPacket& packet) {
    const auto header = wire::parse_esp_header(packet.esp);
    ASSERT_TRUE(header);
    const auto key = std::find_if(keys_.begin(), keys_.end(), [&](const CapturedKey& candidate) {
      return candidate.spi == header->spi && candidate.address == packet.destination;
    });
    ASSERT_NE(key, keys_.end());
    if (key->algorithm == "3des-cbc-hmac96") return look_into_3des(packet, *key);
    ASSERT_EQ(key->algorithm, "aes256-cbc-hmac96");
    if (!installed_) {
      installed_ = gateway_.engine
                       .install(inbound_sa(header->spi, {EncrId::kAesCbc, 256, IntegId::kHmacSha1_96, false}, key->key,
                                           kTestIntegrityKey))
                       .has_value();
      ASSERT_TRUE(installed_);
    }
    EXPECT_THAT(gateway_.unprotect({Gateway::Received{packet.esp, {}}}), IsEmpty());  // its ICV is of another key
    const auto inner = gateway_.unprotect({Gateway::Received{with_test_icv(packet.esp), {}}});
    ASSERT_THAT(inner, SizeIs(1));
    check_ping(inner[0]);
    ++decrypted_;
  }

  void look_into_3des(const CapturedPacket& packet, const CapturedKey& key) {
    ++foreign_;
    const auto refused = gateway_.engine.install(inbound_sa(key.spi, {EncrId::kDes3, 0, IntegId::kHmacSha1_96, false},
                                                            key.key, kTestIntegrityKey));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
    const auto [inside, next_header] = without_3des(packet.esp, key.key);
    if (next_header == IpProtocol::kEsp) return look_at({packet.destination, inside});
    ASSERT_EQ(next_header, IpProtocol::kIpv4);
    const auto view = wire::parse_packet(inside);
    ASSERT_TRUE(view);
    if (view->protocol != IpProtocol::kEsp) return check_ping(inside);
    look_at({view->destination.to_string(), to_bytes(ByteView(inside).subspan(view->upper_offset))});
  }

  static void check_ping(const Bytes& packet) {
    const auto view = wire::parse_packet(packet).value();
    EXPECT_EQ(view.protocol, IpProtocol::kIcmp);
    EXPECT_TRUE(wire::is_ipv4_checksum_right(packet, wire::parse_ipv4(packet).value()));
    EXPECT_EQ(wire::internet_checksum(ByteView(packet).subspan(view.upper_offset)), 0);
  }

  std::vector<CapturedKey> keys_;
  Gateway gateway_{1};
  bool installed_ = false;
  std::size_t decrypted_ = 0, foreign_ = 0;
};

TEST_F(Captures, EveryEspPacketIsDecryptedOrOfAnAlgorithmThatIsNotOurs) {
  const auto folder = captures();
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no test vectors at " << folder << " (MERLON_VECTORS says where)";
  keys_ = read_keys(folder / "esp-secrets.txt");
  ASSERT_THAT(keys_, SizeIs(3));
  std::size_t total = 0;
  for (const char* file : {"02-sunrise-sunset-esp.pcap", "08-sunrise-sunset-esp2.pcap", "espudp1.pcap", "esp_truncated.pcap"}) {
    SCOPED_TRACE(file);
    for (const CapturedPacket& packet : read_esp(folder / file)) {
      ++total;
      look_at(packet);
    }
  }
  EXPECT_EQ(total, 24U);
  std::cout << total << " ESP packets, " << foreign_ << " of them 3DES, which is not ours; inside these, " << decrypted_
            << " with AES-CBC, decrypted by the engine\n";
  EXPECT_EQ(decrypted_, 8U);
}

}  // namespace
}  // namespace merlon::esp
