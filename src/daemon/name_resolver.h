// Names to addresses, beside the control thread: the system's resolver may take many seconds for one of them.
#pragma once

#include <asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/ip_address.h"

namespace merlon::daemon {

// A name that is asked for while its answer is still awaited is not looked up twice: where DNS swallows questions, each attempt of a
// connection would wait behind all the ones before it. Up to kLookups names at once, so that a dead one does not hold up the others.
// Everything but the lookup itself happens on the thread of `context`.
class NameResolver {
 public:
  using Addresses = Result<std::vector<IpAddress>>;
  using Lookup = std::function<Addresses(const std::string& host)>;  // may block; called on any thread
  using Done = std::function<void(const Addresses&)>;

  NameResolver(asio::io_context& context, Lookup lookup);
  NameResolver(const NameResolver&) = delete;
  NameResolver& operator=(const NameResolver&) = delete;
  ~NameResolver();

  // `done` is called later, from the context. kExhausted: there is no thread for it now.
  void ask(const std::string& host, Done done);
  // Nothing is answered from now on. Does not wait for lookups that are under way, which end by themselves.
  void stop();

  static constexpr unsigned kLookups = 4;

 private:
  struct Core;
  std::shared_ptr<Core> core_;
};

}  // namespace merlon::daemon
