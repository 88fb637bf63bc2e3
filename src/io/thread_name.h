// Names a thread for ps, top and gdb.
#pragma once

#include <string_view>

namespace merlon::io {

// Names the calling thread; the kernel keeps the first 15 bytes.
void set_thread_name(std::string_view name);

}  // namespace merlon::io
