#include "io/thread_name.h"

#include <sys/prctl.h>

#include <string>

namespace merlon::io {

void set_thread_name(std::string_view name) {
  const std::string cut(name.substr(0, 15));
  prctl(PR_SET_NAME, cut.c_str());
}

}  // namespace merlon::io
