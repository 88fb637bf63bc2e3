// The keys of [connection.NAME.child.CHILD] and of [[policy]].
#include "control/schema.h"
#include "control/value.h"

namespace merlon::control {
namespace {

using policy::ChildConfig;
using policy::SaLifetime;

template <auto Member>
Result<> set_selectors(ChildConfig& child, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(const auto texts, text_list(node));
  policy::TrafficSelectors selectors;
  for (const std::string& text : texts) {
    MERLON_TRY(const auto parsed, policy::parse_traffic_selectors(text));
    selectors.insert(selectors.end(), parsed.begin(), parsed.end());
  }
  // RFC 7296 3.13: a TS payload counts its selectors in one byte.
  if (selectors.empty() || selectors.size() > 255)
    return fail(ErrorCode::kInvalidArgument, "expected 1 to 255 traffic selectors, got {}", selectors.size());
  child.*Member = std::move(selectors);
  return {};
}

Result<> set_proposals(ChildConfig& child, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(const auto texts, text_list(node));
  child.proposals.clear();
  for (const std::string& text : texts) {
    MERLON_TRY(auto proposal, policy::parse_esp_proposal(text));
    child.proposals.push_back(std::move(proposal));
  }
  if (child.proposals.empty()) return fail(ErrorCode::kInvalidArgument, "expected at least one proposal");
  return {};
}

template <auto Member>
Result<> set_time(ChildConfig& child, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(child.lifetime.*Member, seconds_value(node));
  return {};
}

template <auto Member>
Result<> set_bytes(ChildConfig& child, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(child.lifetime.*Member, size_value(node));
  return {};
}

template <auto Member>
Result<> set_packets(ChildConfig& child, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(child.lifetime.*Member, number_value(node, 0, std::numeric_limits<std::int64_t>::max()));
  return {};
}

Result<> set_parallel(ChildConfig& child, const toml::node& node, const SchemaContext&) {
  if (const auto text = node.value<std::string_view>(); text == "auto") {
    child.parallel = 0;
    return {};
  }
  MERLON_TRY(const std::uint64_t value, number_value(node, 1, policy::kMaxParallel));
  child.parallel = static_cast<unsigned>(value);
  return {};
}

template <auto Member>
Result<> set_bool(ChildConfig& child, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(child.*Member, bool_value(node));
  return {};
}

template <auto Member, std::uint64_t Least, std::uint64_t Most>
Result<> set_number(ChildConfig& child, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(const std::uint64_t value, number_value(node, Least, Most));
  child.*Member = static_cast<std::remove_reference_t<decltype(child.*Member)>>(value);
  return {};
}

Result<> set_replay_window(ChildConfig& child, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(const std::uint64_t value, number_value(node, 64, 4096));
  if ((value & (value - 1)) != 0)
    return fail(ErrorCode::kInvalidArgument, "expected a power of two from 64 to 4096, got {}", value);
  child.replay_window = static_cast<unsigned>(value);
  return {};
}

Result<> set_action(ChildConfig& child, const toml::node& node, const SchemaContext&) {
  static constexpr Choice<policy::ChildAction> kActions[] = {{"protect", policy::ChildAction::kProtect},
                                                             {"bypass", policy::ChildAction::kBypass},
                                                             {"discard", policy::ChildAction::kDiscard}};
  MERLON_TRY(child.action, choice_value(node, kActions));
  return {};
}

Result<> set_policy_action(ChildConfig& child, const toml::node& node, const SchemaContext&) {
  static constexpr Choice<policy::ChildAction> kActions[] = {{"bypass", policy::ChildAction::kBypass},
                                                             {"discard", policy::ChildAction::kDiscard}};
  MERLON_TRY(child.action, choice_value(node, kActions));
  return {};
}

Result<> set_mode(ChildConfig& child, const toml::node& node, const SchemaContext&) {
  static constexpr Choice<policy::ChildMode> kModes[] = {{"tunnel", policy::ChildMode::kTunnel},
                                                         {"transport", policy::ChildMode::kTransport},
                                                         {"beet", policy::ChildMode::kBeet}};
  MERLON_TRY(child.mode, choice_value(node, kModes));
  if (child.mode != policy::ChildMode::kTunnel)
    return fail(ErrorCode::kUnsupported, "only \"tunnel\" mode is available in this version");
  return {};
}

Result<> set_start(ChildConfig& child, const toml::node& node, const SchemaContext&) {
  static constexpr Choice<policy::StartMode> kStarts[] = {{"always", policy::StartMode::kAlways},
                                                          {"on-traffic", policy::StartMode::kOnTraffic},
                                                          {"wait", policy::StartMode::kWait}};
  MERLON_TRY(child.start, choice_value(node, kStarts));
  return {};
}

Result<> set_df(ChildConfig& child, const toml::node& node, const SchemaContext&) {
  static constexpr Choice<policy::DfBit> kDf[] = {
      {"copy", policy::DfBit::kCopy}, {"set", policy::DfBit::kSet}, {"clear", policy::DfBit::kClear}};
  MERLON_TRY(child.df, choice_value(node, kDf));
  return {};
}

Result<> set_mtu(ChildConfig& child, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(const std::uint64_t value, number_value(node, 0, 65535));
  if (value != 0 && value < 1280)
    return fail(ErrorCode::kInvalidArgument, "expected 0 (from the path) or 1280 to 65535 bytes, got {}",
                value);
  child.tunnel_mtu = static_cast<unsigned>(value);
  return {};
}

Result<> not_yet(ChildConfig&, const toml::node&, const SchemaContext&) {
  return fail(ErrorCode::kUnsupported, "marks are not available in this version");
}

using C = ChildConfig;
constexpr Key<ChildConfig> kKeys[] = {
    {"action", "\"protect\" | \"bypass\" | \"discard\"", "\"protect\"",
     "What happens to packets that match (RFC 4301 4.4.1).", set_action},
    {"mode", "\"tunnel\"", "\"tunnel\"", "ESP mode.", set_mode},
    {"local_ts", "selector or list", "required",
     "Traffic selectors of this side: \"10.1.0.0/16\", \"10.1.0.5-10.1.0.9\", \"10.1.0.0/16[tcp/443]\", "
     "\"::/0[icmpv6/128]\".",
     set_selectors<&C::local_ts>},
    {"remote_ts", "selector or list", "required", "Traffic selectors of the peer's side.",
     set_selectors<&C::remote_ts>},
    {"esp_proposals", "list", "sound defaults",
     "ESP algorithms, strongest first, such as [\"aes256gcm16-x25519-esn\"].", set_proposals},
    {"start", "\"always\" | \"on-traffic\" | \"wait\"", "the connection's",
     "Negotiate at start and after every failure; with the first packet; or only when the peer asks.",
     set_start},
    {"lifetime_soft", "duration", "\"1h\"", "Age at which the Child SA is rekeyed; 0 = never.",
     set_time<&SaLifetime::soft>},
    {"lifetime_hard", "duration", "lifetime_soft and a sixth (70m)",
     "Age at which it is removed, rekeyed or not; 0 = never.", set_time<&SaLifetime::hard>},
    {"lifetime_jitter", "duration", "a tenth of lifetime_soft (6m)",
     "The soft limit is drawn from [lifetime_soft - jitter, lifetime_soft].", set_time<&SaLifetime::jitter>},
    {"lifetime_soft_bytes", "size", "0 (no limit)", "Bytes in one direction after which it is rekeyed.",
     set_bytes<&SaLifetime::soft_bytes>},
    {"lifetime_hard_bytes", "size", "0 (no limit)", "Bytes after which it carries nothing more.",
     set_bytes<&SaLifetime::hard_bytes>},
    {"lifetime_soft_packets", "number", "0 (no limit)", "Packets in one direction after which it is rekeyed.",
     set_packets<&SaLifetime::soft_packets>},
    {"lifetime_hard_packets", "number", "0 (no limit)", "Packets after which it carries nothing more.",
     set_packets<&SaLifetime::hard_packets>},
    {"replay_window", "packets", "1024",
     "Size of the anti-replay window, a power of two from 64 to 4096 (RFC 4303 3.4.3).", set_replay_window},
    {"parallel", "number | \"auto\"", "1",
     "Child SAs for these selectors, up to 64, each for a data worker of its own, so that one tunnel uses "
     "several "
     "cores, where the peer does that too (RFC 9611); \"auto\": one for each worker.",
     set_parallel},
    {"copy_dscp", "true | false", "true", "Copy the inner DSCP to the outer header (RFC 4301 5.1.2).",
     set_bool<&C::copy_dscp>},
    {"df", "\"copy\" | \"set\" | \"clear\"", "\"copy\"", "The outer header's DF bit (RFC 4301 8.1).", set_df},
    {"tcp_mss_clamp", "true | false", "true", "Lower the MSS in TCP SYNs to what fits the tunnel.",
     set_bool<&C::tcp_mss_clamp>},
    {"mtu", "bytes", "0 (from the path)", "Fixed MTU of the tunnel for inner packets.", set_mtu},
    {"priority", "number", "0",
     "Position in the policy database: smaller is asked first; ties keep the order of the files.",
     set_number<&C::priority, 0, 0xffffffff>},
    {"mark_in", "number", "-", "Not available in this version.", not_yet},
    {"mark_out", "number", "-", "Not available in this version.", not_yet},
};

constexpr Key<ChildConfig> kPolicyKeys[] = {
    {"action", "\"bypass\" | \"discard\"", "required", "What happens to packets that match.",
     set_policy_action},
    {"local_ts", "selector or list", "required", "Traffic selectors of this side.",
     set_selectors<&C::local_ts>},
    {"remote_ts", "selector or list", "required", "Traffic selectors of the other side.",
     set_selectors<&C::remote_ts>},
    {"priority", "number", "0",
     "Position in the policy database: smaller is asked first; policies come before children of the same "
     "priority.",
     set_number<&C::priority, 0, 0xffffffff>},
};

}  // namespace

std::span<const Key<ChildConfig>> child_keys() {
  return kKeys;
}
std::span<const Key<ChildConfig>> policy_keys() {
  return kPolicyKeys;
}

}  // namespace merlon::control
