// What the inner packets of a run have in common. Only checker*.cc and inner_packet.cc include this.
#pragma once

#include <string_view>

namespace merlon::sim {

// Behind the upper-layer header, before the packet's number (8 bytes): so it can be told on the wire and where it comes out.
inline constexpr std::string_view kInnerMark = "<merlon inner packet>";

inline constexpr std::string_view kPacketTooLong = "which is too long and must stay whole";

}  // namespace merlon::sim
