// The lines of Wireshark's key files. The oracle is tshark: it must take each record, and with them read a
// message and a packet that others encrypted.
#include "daemon/key_trace.h"

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "daemon/test_support.h"
#include "esp/test_peers.h"

namespace merlon::daemon {
namespace {

using namespace daemon::test;
using testing::HasSubstr;
using testing::IsEmpty;
namespace fs = std::filesystem;

struct Outcome {
  int status = -1;
  std::string text;
};

// Standard output and standard error together.
Outcome run(const std::string& command) {
  FILE* const pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return {};
  Outcome out;
  std::array<char, 4096> chunk{};
  while (const std::size_t size = fread(chunk.data(), 1, chunk.size(), pipe))
    out.text.append(chunk.data(), size);
  const int status = pclose(pipe);
  out.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return out;
}

bool have_tshark() {
  return run("tshark --version").status == 0;
}

std::string option(const KeyFileLine& line) {
  return " -o 'uat:" + line.file + ":" + line.line + "'";
}

fs::path captures() {
  const char* folder = std::getenv("MERLON_VECTORS");  // NOLINT(concurrency-mt-unsafe)
  return (folder != nullptr ? fs::path(folder)
                            : fs::path(__FILE__).parent_path() / "../../../shared/vectors") /
         "captures";
}

ike::IkeKeysTraced ike_keys(EncrId encr, unsigned bits, std::size_t key_size, IntegId integ,
                            std::size_t integ_size) {
  ike::IkeKeysTraced keys;
  keys.id = kIkeSa;
  keys.encr = encr;
  keys.key_bits = bits;
  keys.integ = integ;
  keys.sk_ei = secret(key_size);
  keys.sk_er = secret(key_size);
  keys.sk_ai = secret(integ_size);
  keys.sk_ar = secret(integ_size);
  return keys;
}

// Who has a capture and SK_d could make the keys of every later SA.
TEST(KeyTrace, WhatOnlyDerivesOrProvesIsNotWritten) {
  ike::IkeKeysTraced keys = ike_keys(EncrId::kAesGcm16, 128, 20, IntegId::kNone, 0);
  const auto plain = key_file_lines(ike_keys(EncrId::kAesGcm16, 128, 20, IntegId::kNone, 0));
  for (Secret* key : {&keys.sk_d, &keys.sk_pi, &keys.sk_pr}) *key = Secret::copy_of(Bytes(32, 0xd5));
  const auto lines = key_file_lines(ike::Event(std::move(keys)));
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].line, plain[0].line);
}

TEST(KeyTrace, IkeLineWithIntegrity) {
  const auto lines = key_file_lines(ike_keys(EncrId::kAesCbc, 128, 16, IntegId::kHmacSha2_256_128, 32));
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].file, "ikev2_decryption_table");
  std::string key, integ;
  for (int i = 0; i < 16; ++i) key += "a5";
  for (int i = 0; i < 32; ++i) integ += "a5";
  EXPECT_EQ(lines[0].line, "0001020304050607,c02e7a3031a03188," + key + "," + key +
                               ",\"AES-CBC-128 [RFC3602]\"," + integ + "," + integ +
                               ",\"HMAC_SHA2_256_128 [RFC4868]\"");
}

TEST(KeyTrace, ChildLinesOneADirection) {
  auto sa = child_sa(EncrId::kAesCbc, 32, IntegId::kHmacSha1_96, 20);
  sa->outbound.encryption = Secret::copy_of(Bytes(32, 0x11));
  const auto lines = key_file_lines(ike::ChildKeysTraced{sa});
  ASSERT_EQ(lines.size(), 2U);
  for (const KeyFileLine& line : lines) EXPECT_EQ(line.file, "esp_sa");
  // Inbound: from the peer to us, with our SPI.
  EXPECT_THAT(lines[0].line,
              testing::StartsWith(
                  "\"IPv4\",\"192.0.2.2\",\"192.0.2.1\",\"0x00000101\",\"AES-CBC [RFC3602]\",\"0xa5a5"));
  EXPECT_THAT(lines[1].line,
              testing::StartsWith(
                  "\"IPv4\",\"192.0.2.1\",\"192.0.2.2\",\"0x00000202\",\"AES-CBC [RFC3602]\",\"0x1111"));
  sa->path = {at("2001:db8::1"), at("2001:db8::2"), false};
  EXPECT_THAT(key_file_lines(ike::ChildKeysTraced{sa})[0].line,
              testing::StartsWith("\"IPv6\",\"2001:db8::2\",\"2001:db8::1\","));
}

TEST(KeyTrace, OtherEventsAndUnknownAlgorithmsHaveNone) {
  EXPECT_THAT(key_file_lines(ike::IkeSaEstablished{}), IsEmpty());
  EXPECT_THAT(key_file_lines(ike::MessageTraced{}), IsEmpty());
  EXPECT_THAT(key_file_lines(ike_keys(EncrId::kChacha20Poly1305, 256, 36, IntegId::kNone, 0)), IsEmpty());
}

// Wireshark refuses a whole table for one name that it does not know, so these stand in a file of their own.
TEST(KeyTrace, ChildLinesThatWiresharkCannotReadStandElsewhere) {
  for (const auto& sa : {child_sa(EncrId::kChacha20Poly1305), child_sa(EncrId::kAesCcm16)}) {
    const auto lines = key_file_lines(ike::ChildKeysTraced{sa});
    ASSERT_EQ(lines.size(), 2U);
    EXPECT_EQ(lines[0].file, "esp_sa_other");
  }
  EXPECT_THAT(key_file_lines(ike::ChildKeysTraced{child_sa(EncrId::kChacha20Poly1305)}).front().line,
              HasSubstr("CHACHA20_POLY1305"));
}

// tshark checks names and key lengths of every record before it reads the first packet.
TEST(KeyTrace, TsharkTakesEveryRecord) {
  if (!have_tshark()) GTEST_SKIP() << "tshark is not installed";
  const fs::path capture = captures() / "ikev2pI2.pcap";
  if (!fs::exists(capture)) GTEST_SKIP() << capture << " is not there: set MERLON_VECTORS";
  std::vector<KeyFileLine> lines;
  const auto add = [&](const ike::Event& event) {
    const auto more = key_file_lines(event);
    EXPECT_FALSE(more.empty());
    lines.insert(lines.end(), more.begin(), more.end());
  };
  for (const unsigned bits : {128U, 192U, 256U}) {
    const std::size_t key = bits / 8;
    for (const EncrId encr : {EncrId::kAesGcm8, EncrId::kAesGcm12, EncrId::kAesGcm16})
      add(ike_keys(encr, bits, key + 4, IntegId::kNone, 0));
    for (const EncrId encr : {EncrId::kAesCcm8, EncrId::kAesCcm12, EncrId::kAesCcm16})
      add(ike_keys(encr, bits, key + 3, IntegId::kNone, 0));
    add(ike_keys(EncrId::kAesCbc, bits, key, IntegId::kHmacSha1_96, 20));
    add(ike_keys(EncrId::kAesCbc, bits, key, IntegId::kHmacSha2_256_128, 32));
    add(ike_keys(EncrId::kAesCbc, bits, key, IntegId::kHmacSha2_384_192, 48));
    add(ike_keys(EncrId::kAesCbc, bits, key, IntegId::kHmacSha2_512_256, 64));
    for (const EncrId encr : {EncrId::kAesGcm8, EncrId::kAesGcm12, EncrId::kAesGcm16})
      add(ike::ChildKeysTraced{child_sa(encr, key + 4)});
    add(ike::ChildKeysTraced{child_sa(EncrId::kAesCbc, key, IntegId::kHmacSha2_256_128, 32)});
    add(ike::ChildKeysTraced{child_sa(EncrId::kAesCtr, key + 4, IntegId::kHmacSha2_384_192, 48)});
  }
  for (const IntegId integ : {IntegId::kAesCmac96, IntegId::kAesXcbc96})
    add(ike::ChildKeysTraced{child_sa(EncrId::kAesCbc, 16, integ, 16)});
  add(ike::ChildKeysTraced{child_sa(EncrId::kNull, 0, IntegId::kHmacSha1_96, 20)});
  add(ike::ChildKeysTraced{child_sa(EncrId::kNull, 0, IntegId::kHmacSha2_512_256, 64)});
  std::string command = "tshark -c 1 -r " + capture.string();
  for (const KeyFileLine& line : lines) command += option(line);
  const Outcome outcome = run(command);
  EXPECT_EQ(outcome.status, 0) << outcome.text;
  EXPECT_THAT(outcome.text, testing::Not(HasSubstr("Invalid")));
  // The oracle does refuse: without this, the test would prove nothing.
  KeyFileLine wrong = lines.front();
  wrong.line.replace(wrong.line.find("AES-GCM"), 7, "AES-XYZ");
  EXPECT_NE(run("tshark -c 1 -r " + capture.string() + option(wrong)).status, 0);
}

// An IKE_AUTH exchange that others made (tcpdump's test suite), with keys published beside it.
TEST(KeyTrace, TsharkDecryptsIkeWithOurLine) {
  if (!have_tshark()) GTEST_SKIP() << "tshark is not installed";
  const fs::path capture = captures() / "ikev2pI2.pcap";
  if (!fs::exists(capture)) GTEST_SKIP() << capture << " is not there: set MERLON_VECTORS";
  ike::IkeKeysTraced keys;
  keys.id = kIkeSa;
  keys.encr = EncrId::kAesCbc;
  keys.key_bits = 128;
  keys.integ = IntegId::kHmacSha1_96;
  const auto from = [](const char* hex) { return Secret::copy_of(from_hex(hex).value()); };
  keys.sk_ei = from("3f44bf47cafd8150591deb088199fcbf");
  keys.sk_er = from("bedb67ec7dc3d00cccac42e70cd63bde");
  keys.sk_ai = from("4ea8e662b07cdd430f6944c6723e4b82d5722418");
  keys.sk_ar = from("515b0bd22e6d76b34fdb760aa7bfad80b109b75d");
  const auto lines = key_file_lines(ike::Event(std::move(keys)));
  ASSERT_EQ(lines.size(), 1U);
  const std::string command = "tshark -V -r " + capture.string();
  const Outcome blind = run(command);
  const Outcome seeing = run(command + option(lines[0]));
  EXPECT_EQ(seeing.status, 0) << seeing.text;
  EXPECT_THAT(blind.text, testing::Not(HasSubstr("Decrypted Data")));
  EXPECT_THAT(seeing.text, HasSubstr("Decrypted Data"));
  EXPECT_THAT(seeing.text, HasSubstr("Payload: Authentication"));
}

// A capture of whole IPv4 packets that carry these ESP packets from one address to another.
void write_capture(const fs::path& file, const IpAddress& from, const IpAddress& to,
                   const std::vector<Bytes>& packets) {
  std::ofstream out(file, std::ios::binary);
  const auto put = [&](std::initializer_list<std::uint32_t> words) {
    for (const std::uint32_t word : words) out.write(reinterpret_cast<const char*>(&word), sizeof word);
  };
  put({0xa1b2c3d4, 4U << 16U | 2U, 0, 0, 65535, 228});  // LINKTYPE_IPV4
  for (const Bytes& esp : packets) {
    Bytes packet(wire::kIpv4HeaderSize);
    append(packet, esp);
    wire::Ipv4Header header;
    header.total_length = static_cast<std::uint16_t>(packet.size());
    header.protocol = IpProtocol::kEsp;
    header.source = from;
    header.destination = to;
    wire::write_ipv4(packet, header);
    const auto size = static_cast<std::uint32_t>(packet.size());
    put({0, 0, size, size});
    out.write(reinterpret_cast<const char*>(packet.data()), static_cast<std::streamsize>(packet.size()));
  }
}

// What our packet engine encrypts, tshark reads with our line: the inner packet's ports come out.
TEST(KeyTrace, TsharkDecryptsEspWithOurLines) {
  if (!have_tshark()) GTEST_SKIP() << "tshark is not installed";
  std::string folder = (fs::temp_directory_path() / "merlon-keys-XXXXXX").string();
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const fs::path capture = fs::path(folder) / "esp.pcap";
  for (const policy::EspAlgorithms& algorithms :
       {policy::EspAlgorithms{EncrId::kAesGcm16, 256, IntegId::kNone, false},
        {EncrId::kAesGcm8, 128, IntegId::kNone, false},
        {EncrId::kAesCbc, 256, IntegId::kHmacSha2_256_128, false},
        {EncrId::kAesCtr, 128, IntegId::kHmacSha2_512_256, false},
        {EncrId::kAesCbc, 128, IntegId::kHmacSha1_96, true},
        {EncrId::kNull, 0, IntegId::kHmacSha2_384_192, false}}) {
    SCOPED_TRACE(merlon::name(algorithms.encr, algorithms.key_bits) + " " + merlon::name(algorithms.integ));
    esp::test::SaSpec spec;
    spec.algorithms = algorithms;
    spec.udp = false;
    esp::test::Peers peers(spec);
    const auto sas = peers.make();
    ASSERT_TRUE(peers.a.engine.install(sas.first));
    std::vector<Bytes> sent;
    for (const auto& packet : peers.a.protect({esp::test::inner_packet(IpFamily::kIpv4, 200)}))
      sent.push_back(to_bytes(packet->bytes()));
    ASSERT_EQ(sent.size(), 1U);
    const policy::OuterPath& path = sas.first->path;
    write_capture(capture, path.local.address, path.remote.address, sent);
    const auto lines = key_file_lines(ike::ChildKeysTraced{sas.first});
    const std::string command =
        "tshark -o esp.enable_encryption_decode:TRUE -T fields -e ip.dst -e udp.dstport -r " +
        capture.string();
    const Outcome seeing = run(command + option(lines.at(0)) + option(lines.at(1)));
    EXPECT_EQ(seeing.status, 0) << seeing.text;
    EXPECT_THAT(seeing.text, HasSubstr(",10.2.0.9\t2222"));
  }
  fs::remove_all(folder);
}

}  // namespace
}  // namespace merlon::daemon
