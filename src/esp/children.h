// The control side's book of children: what SAs and policies of one child of a connection have in common.
#pragma once

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "esp/pointer_table.h"
#include "esp/published.h"
#include "esp/sa.h"

namespace merlon::esp {

// Known by name, so that a reload that does not change them does not touch their tunnels.
struct Child {
  explicit Child(std::uint64_t number) : entry(number) {}
  ChildEntry entry;
  SaRules* rules =
      nullptr;  // of an SA with the child's own selectors and limits; there for as long as the child
  bool in_spd = false;
  std::uint32_t sas = 0;
};

class Children {
 public:
  explicit Children(Grace& grace) : grace_(grace) {}
  Children(const Children&) = delete;
  Children& operator=(const Children&) = delete;
  ~Children();  // no worker looks at anything any more

  // Made where it was not known. Its rules are those of this connection from now on.
  Child& of(const policy::ConnectionPtr& connection, std::uint32_t child_index);
  // The rules of one more SA: shared where they are the child's. Made children and rules are given back with release().
  SaRules& rules_for(const policy::ChildSa& sa);
  // One SA less has them. Retires them, and the child, where nobody needs them any more.
  void release(const SaRules& rules);
  // Before and after a new SPD names its children with of() and in_spd.
  void forget_spd();
  void sweep();

 private:
  using Names = std::pair<std::string_view, std::string_view>;
  struct ByName {
    using Key = Names;
    static Names key_of(const Child& child);
    static std::uint64_t hash_of(const Names& names);
  };
  void drop(SaRules& rules);
  void retire_if_unused(Child& child);

  Grace& grace_;
  PointerTable<Child, ByName> by_name_;
  std::uint64_t last_number_ = 0;
};

}  // namespace merlon::esp
