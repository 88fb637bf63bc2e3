#pragma once

namespace merlon::daemon {
inline constexpr const char* kVersion = MERLON_VERSION;
}
