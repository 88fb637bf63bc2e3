// The arrows of the state machine, as types: a handler that returns Next<A, B> can lead to A or B and nowhere
// else.
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include "base/check.h"
#include "ikev2/phases.h"

namespace merlon::ikev2 {

template <class... To>
class Next {
 public:
  template <class P>
  requires(std::same_as<std::remove_cvref_t<P>, To> || ...) Next(P&& phase)
      : phase_(std::forward<P>(phase)) {}  // NOLINT(google-explicit-constructor)
  // What leads to fewer phases leads to these.
  template <class... Fewer>
  requires(!std::same_as<Next<Fewer...>, Next>) Next(Next<Fewer...>&& other)
      : phase_(std::move(other).take()) {  // NOLINT(google-explicit-constructor)
    static_assert((one_of<Fewer>() && ...), "leads to a phase that is not listed here");
  }
  [[nodiscard]] Phase take() && { return std::move(phase_); }
  // Back from take(); the phase must be one of those listed.
  [[nodiscard]] static Next of(Phase&& phase) {
    MERLON_ASSERT((std::holds_alternative<To>(phase) || ...));
    return Next(std::move(phase), Checked{});
  }

 private:
  struct Checked {};
  Next(Phase&& phase, Checked) : phase_(std::move(phase)) {}
  template <class P>
  static constexpr bool one_of() {
    return (std::same_as<P, To> || ...);
  }
  Phase phase_;
};

// leads_to<on_ike_sa_init_response, InitSent, Next<InitSent, AuthSent, Closed>>: for the static_asserts at
// the top of each exchange. The handler takes (Shard&, IkeSa&, From&&, what happened ...).
template <class Handler>
struct HandlerTraits;
template <class Arrows, class P, class... What>
struct HandlerTraits<Arrows (*)(Shard&, IkeSa&, P&&, What...)> {
  using Accepts = P;
  using LeadsTo = Arrows;
};
template <auto handler, class From, class To>
inline constexpr bool leads_to = std::same_as<typename HandlerTraits<decltype(handler)>::Accepts, From>&&
    std::same_as<typename HandlerTraits<decltype(handler)>::LeadsTo, To>;

}  // namespace merlon::ikev2
