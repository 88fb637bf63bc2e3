#include "esp/children.h"

#include <algorithm>
#include <functional>

namespace merlon::esp {
namespace {

SaLimits limits_from(std::uint64_t soft_bytes, std::uint64_t hard_bytes, std::uint64_t soft_packets,
                     std::uint64_t hard_packets) {
  const auto or_none = [](std::uint64_t limit) { return limit == 0 ? UINT64_MAX : limit; };
  return {or_none(soft_bytes), or_none(hard_bytes), or_none(soft_packets), or_none(hard_packets)};
}
SaLimits limits_of(const policy::ChildSa& sa) {
  return limits_from(sa.soft_bytes, sa.hard_bytes, sa.soft_packets, sa.hard_packets);
}
SaLimits limits_of(const policy::SaLifetime& lifetime) {
  return limits_from(lifetime.soft_bytes, lifetime.hard_bytes, lifetime.soft_packets, lifetime.hard_packets);
}

bool same(policy::SelectorView a, policy::SelectorView b) {
  return std::ranges::equal(a, b);
}

SaRules* rules_of_child(const policy::ConnectionPtr& connection, std::uint32_t child_index, Child& child) {
  auto* const rules = new SaRules;
  rules->connection = connection;
  rules->child_index = child_index;
  rules->child = &child;
  rules->local_ts = rules->config().local_ts;
  rules->remote_ts = rules->config().remote_ts;
  rules->limits = limits_of(rules->config().lifetime);
  return rules;
}

}  // namespace

Children::Names Children::ByName::key_of(const Child& child) {
  return {child.rules->connection->name, child.rules->config().name};
}
std::uint64_t Children::ByName::hash_of(const Names& names) {
  const std::hash<std::string_view> hash;
  return hash(names.first) * 0x9e3779b97f4a7c15U + hash(names.second);
}

Children::~Children() {
  by_name_.for_each([](Child& child) {
    delete child.rules;
    delete &child;
  });
}

Child& Children::of(const policy::ConnectionPtr& connection, std::uint32_t child_index) {
  Child* child = by_name_.find({connection->name, connection->children[child_index].name});
  if (child == nullptr) {
    child = new Child(++last_number_);
    child->rules = rules_of_child(connection, child_index, *child);
    child->rules->users = 1;
    by_name_.insert(*child);
  } else if (child->rules->connection != connection || child->rules->child_index != child_index) {
    // The name, which it is found by, stays the same.
    SaRules& before = *std::exchange(child->rules, rules_of_child(connection, child_index, *child));
    child->rules->users = 1;
    drop(before);
  }
  return *child;
}

SaRules& Children::rules_for(const policy::ChildSa& sa) {
  Child& child = of(sa.connection, static_cast<std::uint32_t>(sa.child_index));
  ++child.sas;
  const SaLimits limits = limits_of(sa);
  SaRules& common = *child.rules;
  if (same(sa.local_ts, common.local_ts) && same(sa.remote_ts, common.remote_ts) && limits == common.limits) {
    ++common.users;
    return common;
  }
  auto* const own = new SaRules;
  own->connection = common.connection;
  own->child_index = common.child_index;
  own->child = &child;
  own->limits = limits;
  own->users = 1;
  // What is as configured is not kept twice.
  const bool keeps_local = !same(sa.local_ts, common.local_ts),
             keeps_remote = !same(sa.remote_ts, common.remote_ts);
  const std::size_t locals = keeps_local ? sa.local_ts.size() : 0;
  const std::size_t remotes = keeps_remote ? sa.remote_ts.size() : 0;
  auto narrowed = std::make_unique<policy::TrafficSelector[]>(locals + remotes);
  std::copy_n(sa.local_ts.begin(), locals, narrowed.get());
  std::copy_n(sa.remote_ts.begin(), remotes, narrowed.get() + locals);
  own->local_ts = keeps_local ? policy::SelectorView(narrowed.get(), locals) : common.local_ts;
  own->remote_ts = keeps_remote ? policy::SelectorView(narrowed.get() + locals, remotes) : common.remote_ts;
  own->narrowed = std::move(narrowed);
  return *own;
}

void Children::release(const SaRules& rules) {
  Child& child = *rules.child;
  --child.sas;
  drop(const_cast<SaRules&>(rules));  // made here; constant to everybody else
  retire_if_unused(child);
}

void Children::drop(SaRules& rules) {
  if (--rules.users == 0) grace_.published(std::shared_ptr<const SaRules>(&rules));
}

void Children::retire_if_unused(Child& child) {
  if (child.in_spd || child.sas != 0) return;
  by_name_.erase(child);
  drop(*child.rules);
  grace_.published(std::shared_ptr<const Child>(&child));
}

void Children::forget_spd() {
  by_name_.for_each([](Child& child) { child.in_spd = false; });
}

void Children::sweep() {
  std::vector<Child*> all;
  by_name_.for_each([&](Child& child) { all.push_back(&child); });
  for (Child* child : all) retire_if_unused(*child);
}

}  // namespace merlon::esp
