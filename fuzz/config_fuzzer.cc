// A configuration: whatever the text, an answer with places in it, and a configuration exactly where there is
// no error. The first byte says whether others can read the file; a form feed begins the next file.
#include <algorithm>
#include <cstdlib>

#include "control/config.h"

namespace {

using namespace merlon;  // NOLINT: a main file

void require(bool holds) {
  if (!holds) std::abort();
}

std::vector<control::ConfigText> files_of(std::string_view text, bool readable) {
  std::vector<control::ConfigText> out;
  while (out.size() < 4) {
    const auto end = text.find('\f');
    out.push_back({"file" + std::to_string(out.size()), std::string(text.substr(0, end)), readable});
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return out;
}

void check_connection(const policy::Connection& connection, bool readable) {
  require(!connection.children.empty());
  for (const policy::ChildConfig& child : connection.children)
    require(!child.local_ts.empty() && !child.remote_ts.empty());
  if (connection.name == control::kPolicyConnection) return;
  require(connection.local_auth.size() == 1 && connection.remote_auth.size() == 1);
  require(!readable || connection.local_auth[0].psk.empty());
  require(!connection.ike_proposals.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const bool readable = (data[0] & 1U) != 0;
  const auto loaded = control::parse_config(files_of(as_text({data + 1, size - 1}), readable), "/etc/merlon");
  require(loaded.config.has_value() ==
          std::ranges::all_of(loaded.diagnostics, &control::Diagnostic::warning));
  for (const control::Diagnostic& diagnostic : loaded.diagnostics) require(!diagnostic.to_string().empty());
  if (loaded.config)
    for (const auto& connection : loaded.config->connections) check_connection(*connection, readable);
  return 0;
}
