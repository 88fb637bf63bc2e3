// A data worker's number, from 0 on.
#pragma once

#include <cstdint>

#include "base/ids.h"

namespace merlon::esp {

struct WorkerIndexTag;
using WorkerIndex = StrongNumber<WorkerIndexTag, std::uint8_t>;

}  // namespace merlon::esp
