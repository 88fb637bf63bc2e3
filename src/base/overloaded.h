// One visitor out of several lambdas, for std::visit.
#pragma once

namespace merlon {

template <class... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
// clang before 17 cannot deduce the arguments of an aggregate by itself.
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

}  // namespace merlon
