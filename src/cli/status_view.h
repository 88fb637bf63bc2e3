// `merlon status` for people.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace merlon::cli {

[[nodiscard]] std::string status_text(const nlohmann::json& status, const std::string& only_connection,
                                      bool colour);
[[nodiscard]] std::string duration_text(long long seconds);     // "1 h 02 min"
[[nodiscard]] std::string size_text(unsigned long long bytes);  // "12.3 MB"

}  // namespace merlon::cli
