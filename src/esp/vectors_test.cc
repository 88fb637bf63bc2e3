// ESP packets that others made.
#include <openssl/evp.h>

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

policy::ChildSaPtr inbound_sa(Spi spi, const policy::EspAlgorithms& algorithms, ByteView encr,
                              ByteView integ) {
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
  const Bytes key =
      hex(R"(80818283 84858687 88898a8b 8c8d8e8f 90919293 94959697 98999a9b 9c9d9e9f a0a1a2a3)");
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
    keys.push_back({Spi{static_cast<std::uint32_t>(std::stoul(who.substr(0, at), nullptr, 16))},
                    who.substr(at + 1), what.substr(0, colon), from_hex(what.substr(colon + 3)).value()});
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

// tcpdump's own tests give the key of these two on the command line.
const CapturedKey kKeyOfTheOthers{Spi{0x12345678}, "192.1.2.45", "3des-cbc-hmac96",
                                  hex("40434345 45464649 494a4a4c 4c4f4f51 51525254 54575758")};

// Takes a 3DES-CBC layer off with OpenSSL, by the codecs of wire/: what it carried, if that is IPv4.
std::optional<Bytes> without_3des(ByteView esp, ByteView key) {
  constexpr std::size_t kHmac96 = 12;
  const ByteView iv = esp.subspan(8, 8), data = esp.subspan(16, esp.size() - 16 - kHmac96);
  Bytes plaintext(data.size());
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(EVP_CIPHER_CTX_new(),
                                                                                EVP_CIPHER_CTX_free);
  int length = 0;
  EXPECT_EQ(EVP_DecryptInit_ex(context.get(), EVP_des_ede3_cbc(), nullptr, key.data(), iv.data()), 1);
  EVP_CIPHER_CTX_set_padding(context.get(), 0);
  EXPECT_EQ(
      EVP_DecryptUpdate(context.get(), plaintext.data(), &length, data.data(), static_cast<int>(data.size())),
      1);
  const auto trailer = wire::parse_esp_trailer(plaintext);
  if (!trailer || trailer->next_header != IpProtocol::kIpv4) return std::nullopt;
  plaintext.resize(trailer->payload_size);
  return plaintext;
}

// Every ESP packet of the captures, and of what these carry, is protected with 3DES, which is not ours: the
// engine says so, and drops the packets as those of an SA it does not have. That they are what they seem,
// OpenSSL shows.
class Captures : public ::testing::Test {
 protected:
  void look_at(const CapturedPacket& packet) {
    ++layers_;
    const auto header = wire::parse_esp_header(packet.esp);
    ASSERT_TRUE(header);
    const std::uint64_t before = gateway_.engine.drops(DropReason::kUnknownSpi);
    EXPECT_THAT(gateway_.unprotect({Gateway::Received{packet.esp, {}}}), IsEmpty());
    EXPECT_EQ(gateway_.engine.drops(DropReason::kUnknownSpi), before + 1);

    std::optional<Bytes> inside;
    for (const CapturedKey& key : keys_) {
      if (key.spi != header->spi || key.address != packet.destination) continue;
      ASSERT_EQ(key.algorithm, "3des-cbc-hmac96");
      const auto refused = gateway_.engine.install(
          inbound_sa(key.spi, {EncrId::kDes3, 0, IntegId::kHmacSha1_96, false}, key.key, Bytes(20)));
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
      if (!inside) inside = without_3des(packet.esp, key.key);
    }
    ASSERT_TRUE(inside);
    const auto view = wire::parse_packet(*inside);
    ASSERT_TRUE(view);
    EXPECT_TRUE(wire::is_ipv4_checksum_right(*inside, wire::parse_ipv4(*inside).value()));
    const ByteView upper =
        ByteView(*inside).subspan(view->upper_offset, view->total_length - view->upper_offset);
    if (view->protocol == IpProtocol::kEsp) return look_at({view->destination.to_string(), to_bytes(upper)});
    ASSERT_EQ(view->protocol, IpProtocol::kIcmp);
    EXPECT_EQ(wire::internet_checksum(upper), 0);
  }

  std::vector<CapturedKey> keys_;
  Gateway gateway_{1};
  std::size_t layers_ = 0;
};

TEST_F(Captures, EveryEspPacketIsOfAnAlgorithmThatIsNotOurs) {
  const auto folder = captures();
  if (!std::filesystem::exists(folder))
    GTEST_SKIP() << "no test vectors at " << folder << " (MERLON_VECTORS says where)";
  keys_ = read_keys(folder / "esp-secrets.txt");
  ASSERT_THAT(keys_, SizeIs(3));
  keys_.push_back(kKeyOfTheOthers);
  std::size_t total = 0;
  for (const char* file :
       {"02-sunrise-sunset-esp.pcap", "08-sunrise-sunset-esp2.pcap", "espudp1.pcap", "esp_truncated.pcap"}) {
    SCOPED_TRACE(file);
    for (const CapturedPacket& packet : read_esp(folder / file)) {
      ++total;
      look_at(packet);
    }
  }
  std::cout << total << " ESP packets, " << layers_ << " layers of 3DES, which is not ours\n";
  EXPECT_EQ(total, 24U);
  EXPECT_EQ(layers_, 32U);
}

}  // namespace
}  // namespace merlon::esp
