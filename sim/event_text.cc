#include "sim/event_text.h"

#include <fmt/format.h>

namespace merlon::sim {
namespace {

using Lines = std::vector<std::string>;

Lines lines_of(const ike::IkeSaEstablished& e) {
  return {fmt::format("IKE SA of {} {} as {}: {}-{}", e.connection, e.rekeyed ? "rekeyed" : "established",
                      e.initiator ? "initiator" : "responder", e.id.initiator, e.id.responder)};
}
Lines lines_of(const ike::IkeSaClosed& e) {
  return {fmt::format("IKE SA of {} closed: {}-{}: {}", e.connection, e.id.initiator, e.id.responder,
                      e.reason.sentence)};
}
Lines lines_of(const ike::ChildSaEstablished& e) {
  return {fmt::format("Child SA of {}.{} {}: in {} out {}", e.connection, e.child,
                      e.rekeyed ? "rekeyed" : "established", e.inbound_spi, e.outbound_spi)};
}
Lines lines_of(const ike::ChildSaClosed& e) {
  return {fmt::format("Child SA of {}.{} closed{}: in {} out {}: {}", e.connection, e.child,
                      e.replaced ? " (replaced)" : "", e.inbound_spi, e.outbound_spi, e.reason)};
}
Lines lines_of(const ike::NegotiationFailed& e) {
  return {fmt::format("failed: {} {}: {}", e.connection, e.child, e.failure.sentence)};
}
Lines lines_of(const ike::PeerMoved& e) {
  return {fmt::format("the peer of {} moved from {} to {}", e.connection, e.from, e.to)};
}
Lines lines_of(const ike::ErrorNotified& e) {
  return {fmt::format("{} in {}: {}", e.sent ? "told the peer" : "heard", e.connection, e.failure.sentence)};
}
Lines lines_of(const ike::MessageTraced& e) {
  Lines lines;
  for (const std::string& text : e.lines)
    lines.push_back(lines.empty() ? fmt::format("{} {}{}", e.sent ? "-->" : "<--", text,
                                                e.retransmission ? " (again)" : "")
                                  : "      " + text);
  return lines;
}
Lines lines_of(const ike::IkeKeysTraced&) {
  return {};
}
Lines lines_of(const ike::ChildKeysTraced&) {
  return {};
}

}  // namespace

Lines payload_words(const ike::MessageTraced& message) {
  struct Brief {
    std::string_view begins, words;
  };
  constexpr Brief kBriefs[] = {
      {"N(NAT_DETECTION_SOURCE_IP)", "N(NAT detection)"},
      {"N(NAT_DETECTION_DESTINATION_IP)", ""},
      {"N(IKEV2_FRAGMENTATION_SUPPORTED)", "N(fragments)"},
      {"N(SIGNATURE_HASH_ALGORITHMS)", "N(hashes)"},
      {"Nonce: 32 bytes", "Nonce"},
      {"AUTH: Shared Key Message Integrity Code", "AUTH by shared key"},
  };
  Lines made;
  for (std::size_t i = 1; i < message.lines.size(); ++i) {
    std::string_view words = message.lines[i];
    for (const Brief& brief : kBriefs)
      if (message.lines[i].starts_with(brief.begins)) words = brief.words;
    if (!words.empty()) made.emplace_back(words);
  }
  return made;
}

Lines event_lines(const ike::Event& event) {
  return std::visit([](const auto& e) { return lines_of(e); }, event);
}

}  // namespace merlon::sim
