#include "pki/authority_index.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

namespace merlon::pki {
namespace {

constexpr std::string_view kHeader = "merlon-authority-index 1";
constexpr std::string_view kCrlNumber = "crl-number ";
constexpr std::string_view kNotRevoked = "-";

// Takes the text up to `separator` (or its end) from the front of `rest`.
std::string_view next(std::string_view& rest, char separator) {
  const std::size_t at = rest.find(separator);
  const std::string_view out = rest.substr(0, at);
  rest = at == std::string_view::npos ? std::string_view() : rest.substr(at + 1);
  return out;
}

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The inverse of utc_text.
std::optional<UnixTime> utc_from_text(std::string_view text) {
  if (text.size() != 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' ||
      text[16] != ':' || text[19] != 'Z')
    return std::nullopt;
  const auto y = number<unsigned>(text.substr(0, 4));
  const auto mo = number<unsigned>(text.substr(5, 2));
  const auto d = number<unsigned>(text.substr(8, 2));
  const auto h = number<unsigned>(text.substr(11, 2));
  const auto mi = number<unsigned>(text.substr(14, 2));
  const auto s = number<unsigned>(text.substr(17, 2));
  if (!y || !mo || !d || !h || !mi || !s) return std::nullopt;
  using namespace std::chrono;
  const year_month_day date{year{static_cast<int>(*y)}, month{*mo}, day{*d}};
  if (!date.ok() || *h > 23 || *mi > 59 || *s > 59) return std::nullopt;
  return sys_days{date} + hours{*h} + minutes{*mi} + seconds{*s};
}

std::optional<IssuedCertificate> entry_from_line(std::string_view line) {
  IssuedCertificate entry;
  entry.serial_hex = next(line, '\t');
  const auto issued = utc_from_text(next(line, '\t'));
  const auto not_after = utc_from_text(next(line, '\t'));
  const std::string_view revoked = next(line, '\t');
  const auto reason = revocation_reason_from_text(next(line, '\t'));
  entry.subject = line;
  if (!issued || !not_after || !reason || entry.serial_hex.empty() || !from_hex(entry.serial_hex))
    return std::nullopt;
  entry.issued = *issued;
  entry.not_after = *not_after;
  entry.reason = *reason;
  if (revoked == kNotRevoked) return entry;
  entry.revoked = utc_from_text(revoked);
  if (!entry.revoked) return std::nullopt;
  return entry;
}

}  // namespace

std::string AuthorityIndex::to_text() const {
  std::string out = fmt::format("{}\n{}{}\n", kHeader, kCrlNumber, crl_number);
  for (const IssuedCertificate& entry : issued)
    out += fmt::format("{}\t{}\t{}\t{}\t{}\t{}\n", entry.serial_hex, utc_text(entry.issued),
                       utc_text(entry.not_after),
                       entry.revoked ? utc_text(*entry.revoked) : std::string(kNotRevoked),
                       name(entry.reason), entry.subject);
  return out;
}

Result<AuthorityIndex> AuthorityIndex::from_text(std::string_view text) {
  if (next(text, '\n') != kHeader)
    return fail(ErrorCode::kMalformed, "the index does not begin with '{}'", kHeader);
  AuthorityIndex index;
  const std::string_view crl_line = next(text, '\n');
  const auto crl_number = crl_line.starts_with(kCrlNumber)
                              ? number<std::uint64_t>(crl_line.substr(kCrlNumber.size()))
                              : std::nullopt;
  if (!crl_number) return fail(ErrorCode::kMalformed, "line 2 of the index should read '{}N'", kCrlNumber);
  index.crl_number = *crl_number;
  for (std::size_t line = 3; !text.empty(); ++line) {
    auto entry = entry_from_line(next(text, '\n'));
    if (!entry) return fail(ErrorCode::kMalformed, "line {} of the index is damaged", line);
    index.issued.push_back(std::move(*entry));
  }
  return index;
}

Result<AuthorityLock> AuthorityLock::take(const std::filesystem::path& directory) {
  const auto path = directory / "lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0)
    return fail(ErrorCode::kSystem, "{}: {}", path.string(),
                std::strerror(errno));  // NOLINT(concurrency-mt-unsafe)
  AuthorityLock lock(fd);
  while (::flock(fd, LOCK_EX) != 0)
    if (errno != EINTR)
      return fail(ErrorCode::kSystem, "{}: {}", path.string(),
                  std::strerror(errno));  // NOLINT(concurrency-mt-unsafe)
  return lock;
}

AuthorityLock::~AuthorityLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace merlon::pki
