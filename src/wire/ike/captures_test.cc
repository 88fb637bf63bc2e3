// Captures made by others: every IKE packet in them is parsed or refused, and the sound ones are understood.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "wire/esp.h"
#include "wire/ike/describe.h"
#include "wire/ip/icmp.h"
#include "wire/ip/packet_view.h"
#include "wire/ip/udp.h"
#include "wire/test_support.h"
#include "wire/udp_encap.h"

namespace merlon::wire {
namespace {

namespace fs = std::filesystem;

std::optional<fs::path> captures_folder() {
  const char* variable = std::getenv("MERLON_VECTORS");
  const fs::path vectors = variable != nullptr
                               ? fs::path(variable)
                               : fs::path(__FILE__).parent_path() / "../../../../shared/vectors";
  if (fs::is_directory(vectors / "captures")) return vectors / "captures";
  return std::nullopt;
}

Bytes read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::uint32_t little_u32(ByteView bytes, std::size_t at) {
  return static_cast<std::uint32_t>(bytes[at]) | static_cast<std::uint32_t>(bytes[at + 1]) << 8U |
         static_cast<std::uint32_t>(bytes[at + 2]) << 16U | static_cast<std::uint32_t>(bytes[at + 3]) << 24U;
}

// The IP packets of a classic little-endian pcap file. What is cut short at the file's end is handed out as
// it is.
std::vector<Bytes> ip_packets(const fs::path& path) {
  const Bytes file = read_file(path);
  std::vector<Bytes> packets;
  if (file.size() < 24 || little_u32(file, 0) != 0xa1b2c3d4) return packets;
  const std::size_t link_header = little_u32(file, 20) == 0 ? 4 : 14;  // BSD loopback, Ethernet
  ByteView rest = ByteView(file).subspan(24);
  while (rest.size() >= 16) {
    const std::size_t captured = std::min<std::size_t>(little_u32(rest, 8), rest.size() - 16);
    const ByteView frame = rest.subspan(16, captured);
    if (frame.size() > link_header) packets.push_back(to_bytes(frame.subspan(link_header)));
    rest = rest.subspan(16 + captured);
  }
  return packets;
}

struct Datagram {
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  Bytes payload;
};

std::vector<Datagram> datagrams(const fs::path& path) {
  std::vector<Datagram> found;
  for (const auto& packet : ip_packets(path)) {
    const auto view = parse_packet(packet);
    if (!view || view->protocol != IpProtocol::kUdp || view->upper != UpperFields::kPorts) continue;
    const ByteView upper = ByteView(packet).first(view->total_length).subspan(view->upper_offset);
    if (!parse_udp(upper)) continue;
    found.push_back({view->source_port, view->destination_port, to_bytes(upper.subspan(kUdpHeaderSize))});
  }
  return found;
}

class Captures : public testing::Test {
 protected:
  void SetUp() override {
    const auto folder = captures_folder();
    if (!folder)
      GTEST_SKIP() << "no vectors: neither MERLON_VECTORS nor ../shared/vectors beside the checkout";
    folder_ = *folder;
  }
  fs::path folder_;
};

TEST_F(Captures, TheIkev2ExchangeIsUnderstood) {
  const auto found = datagrams(folder_ / "ikev2pI2.pcap");
  ASSERT_EQ(found.size(), 2U);
  const auto init = parse_message(found[0].payload);
  ASSERT_TRUE(init) << init.error().error.message;
  EXPECT_EQ(init->header.exchange_type, ExchangeType::kIkeSaInit);
  EXPECT_EQ(init->header.initiator_spi, IkeSpi{0x0001020304050607});
  EXPECT_TRUE(init->header.flags.initiator);
  const auto* sa = find<SaPayload>(init->payloads);
  ASSERT_NE(sa, nullptr);
  EXPECT_TRUE(sa->critical);
  ASSERT_GE(sa->proposals.size(), 2U);
  EXPECT_EQ(name(sa->proposals[0].transforms[0]), "AES_CBC");
  EXPECT_EQ(name(sa->proposals[0].transforms[3]), "MODP_1536");
  EXPECT_NE(find<KePayload>(init->payloads), nullptr);
  EXPECT_NE(find<NoncePayload>(init->payloads), nullptr);
  const auto auth = parse_message(found[1].payload);
  ASSERT_TRUE(auth) << auth.error().error.message;
  EXPECT_EQ(auth->header.exchange_type, ExchangeType::kIkeAuth);
  const auto* sk = find<SkPayload>(auth->payloads);
  ASSERT_NE(sk, nullptr);
  EXPECT_EQ(sk->offset, kIkeHeaderSize);
  EXPECT_EQ(sk->aad_size() + sk->body.size(), found[1].payload.size());
  for (const auto& datagram : found)
    EXPECT_EQ(encode_message(*parse_message(datagram.payload)), datagram.payload);
}

TEST_F(Captures, Ikev1IsToldApart) {
  const auto found = datagrams(folder_ / "ISAKMP_sa_setup.pcap");
  ASSERT_EQ(found.size(), 9U);
  for (const auto& datagram : found) {
    const auto header = IkeHeader::parse(datagram.payload);
    ASSERT_TRUE(header);
    EXPECT_EQ(header->major, 1);
    const auto message = parse_message(datagram.payload);
    ASSERT_FALSE(message);
    EXPECT_EQ(message.error().notify, NotifyType::kInvalidMajorVersion);
  }
  EXPECT_EQ(IkeHeader::parse(found[0].payload)->exchange_type, ExchangeType::kV1IdentityProtection);
  EXPECT_EQ(IkeHeader::parse(found[8].payload)->exchange_type, ExchangeType::kV1QuickMode);
}

TEST_F(Captures, EspInUdpIsToldApart) {
  const auto found = datagrams(folder_ / "espudp1.pcap");
  ASSERT_EQ(found.size(), 8U);
  for (const auto& datagram : found) {
    const auto classified = classify_udp_encap(datagram.payload);
    EXPECT_EQ(classified.kind, UdpEncapKind::kEsp);
    EXPECT_TRUE(parse_esp_header(classified.payload));
  }
}

TEST_F(Captures, EspIsSeenAsAnUpperProtocol) {
  for (const char* file : {"02-sunrise-sunset-esp.pcap", "08-sunrise-sunset-esp2.pcap"}) {
    const auto packets = ip_packets(folder_ / file);
    ASSERT_FALSE(packets.empty());
    std::size_t esp = 0;
    for (const auto& packet : packets) {
      const auto view = parse_packet(packet);
      ASSERT_TRUE(view) << file;
      if (view->protocol != IpProtocol::kEsp) continue;
      ++esp;
      EXPECT_EQ(view->upper, UpperFields::kNone);
      EXPECT_TRUE(parse_esp_header(ByteView(packet).subspan(view->upper_offset)));
    }
    EXPECT_GT(esp, 0U) << file;
  }
}

// Whatever the packet, each parser gives a value or an error, for it and for every prefix of it.
TEST_F(Captures, EveryPacketIsParsedOrRefused) {
  std::size_t files = 0;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (entry.path().extension() != ".pcap") continue;
    ++files;
    for (const auto& packet : ip_packets(entry.path()))
      for (std::size_t size = 0; size <= packet.size(); size += packet.size() > 4000 ? 61 : 1) {
        const Bytes cut = test::prefix(packet, size);
        if (const auto view = parse_packet(cut)) {
          EXPECT_FALSE(describe(*view).empty());
        }
        static_cast<void>(parse_icmp_error(cut));
        for (const std::size_t skipped : {std::size_t{28}, std::size_t{32}, std::size_t{48}}) {
          if (size < skipped) continue;
          const Bytes ike = to_bytes(ByteView(cut).subspan(skipped));
          if (const auto message = parse_message(ike)) {
            EXPECT_FALSE(describe(*message).empty());
          }
          static_cast<void>(classify_udp_encap(ike));
        }
      }
  }
  EXPECT_GE(files, 9U);
}

}  // namespace
}  // namespace merlon::wire
