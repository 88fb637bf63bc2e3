// A TUN device with several queues: which queue a packet from the kernel's stack goes to.
#pragma once

#include "io/tun.h"

namespace merlon::io {

// By a hash of addresses, and of ports where TCP or UDP has them in reach: a flow stays in one queue for ever. Without
// this the kernel moves a flow to the queue through which its answers were written last, and what still waits in the other
// one is overtaken. An eBPF program; errors: the kernel lacks that, or CAP_BPF is missing where it is asked for.
[[nodiscard]] Result<> keep_flows_in_their_queue(Tun& tun);

}  // namespace merlon::io
