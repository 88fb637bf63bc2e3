#include "io/nft_guard.h"

#include <fmt/format.h>
#include <nftables/libnftables.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <span>

#include "io/fd.h"
#include "io/nft_guard_text.h"
#include "io/system_error.h"

namespace merlon::io {
namespace {

struct ContextDeleter {
  void operator()(nft_ctx* context) const { nft_ctx_free(context); }
};

// libnftables ends the process when it gets no socket, so it is only asked when there are descriptors for what it opens.
Result<> has_descriptors(std::string_view attempt) {
  std::array<Fd, 4> some;
  for (Fd& one : some) {
    one = Fd(eventfd(0, EFD_CLOEXEC));
    if (!one) return fail_errno(errno, attempt);
  }
  return {};
}

// Runs commands as one transaction; their output.
Result<std::string> run(const std::string& commands, std::string_view attempt) {
  MERLON_TRY_VOID(has_descriptors(attempt));
  // A context is bound to the network namespace in which it was made, so none is kept.
  const std::unique_ptr<nft_ctx, ContextDeleter> context(nft_ctx_new(NFT_CTX_DEFAULT));
  if (!context || nft_ctx_buffer_output(context.get()) != 0 || nft_ctx_buffer_error(context.get()) != 0)
    return fail(ErrorCode::kSystem, "cannot {}: libnftables does not start", attempt);
  if (nft_run_cmd_from_buffer(context.get(), commands.c_str()) == 0)
    return std::string(nft_ctx_get_output_buffer(context.get()));
  std::string said(nft_ctx_get_error_buffer(context.get()));
  // The first line says what; the others quote the commands and point at them.
  const std::string first_line = said.substr(0, said.find('\n'));
  const bool not_found = first_line.find("No such file or directory") != std::string::npos;
  return fail(not_found ? ErrorCode::kNotFound : ErrorCode::kSystem, "cannot {}: {}", attempt, first_line);
}

const std::string& table_name() {
  static const std::string table = fmt::format("inet {}", NftGuard::kTable);
  return table;
}

// The number behind a word, from a place in the text on; 0 where there is none.
std::uint64_t number_after(std::string_view text, std::size_t from, std::string_view word) {
  const std::size_t at = text.find(word, from);
  if (at == std::string_view::npos) return 0;
  std::uint64_t value = 0;
  const char* begin = text.data() + at + word.size();
  std::from_chars(begin, text.data() + text.size(), value);
  return value;
}

void take_counter(std::string_view listing, std::string_view name, std::uint64_t& packets,
                  std::uint64_t& bytes) {
  const std::size_t at = listing.find(fmt::format("counter {} ", name));
  if (at == std::string_view::npos) return;
  packets = number_after(listing, at, "packets ");
  bytes = number_after(listing, at, "bytes ");
}

}  // namespace

AddressRange AddressRange::of(const IpPrefix& prefix) {
  return {prefix.address.masked(prefix.length), prefix.address.filled(prefix.length)};
}

Result<std::string> NftGuard::ruleset(const GuardSpec& spec, const GuardCounters& start) {
  return guard_ruleset(spec, start);
}

Result<> NftGuard::apply(const GuardSpec& spec) {
  GuardCounters start;
  if (const auto before = counters()) start = *before;
  MERLON_TRY(const std::string commands, guard_ruleset(spec, start));
  MERLON_TRY_VOID(run(commands, "put the nftables guard in place"));
  return {};
}

Result<> NftGuard::remove() {
  // Deleting what is not there is an error to nftables, adding what is there is none.
  MERLON_TRY_VOID(
      run(fmt::format("add table {0}\ndelete table {0}\n", table_name()), "remove the nftables guard"));
  return {};
}

Result<bool> NftGuard::is_present() {
  MERLON_TRY(const std::string listing, run("list tables inet\n", "list the nftables tables"));
  return listing.find(fmt::format("table {}\n", table_name())) != std::string::npos;
}

Result<GuardCounters> NftGuard::counters() {
  MERLON_TRY(const std::string listing, run(fmt::format("list counters table {}\n", table_name()),
                                            "read the nftables guard's counters"));
  GuardCounters out;
  take_counter(listing, kInboundCounter, out.inbound_packets, out.inbound_bytes);
  take_counter(listing, kOutboundCounter, out.outbound_packets, out.outbound_bytes);
  return out;
}

}  // namespace merlon::io
