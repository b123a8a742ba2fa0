#include <levin/framework/core/error.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/core/differing_length.h>
#include <levin/framework/core/first_bytes.h>
#include <levin/framework/core/near_files.h>
#include <levin/framework/core/small_letters.h>

namespace levin {
namespace {

/// The least number of letters to insert, remove, replace or swap with the next one that make `a`
/// to `b`, no letter more than once.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before;  // the row of a[i - 2]
  std::vector<size_t> above(b.size() + 1);
  std::iota(above.begin(), above.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    std::vector<size_t> row(b.size() + 1, i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({row[j - 1] + 1, above[j] + 1, replaced});
      const bool is_swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (is_swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = std::exchange(above, std::move(row));
  }
  return above.back();
}

/// Whether `whole` begins with `part`, in small or capital letters.
bool is_beginning_of(std::string_view part, std::string_view whole) {
  const auto is_same = [](unsigned char a, unsigned char b) {
    return std::tolower(a) == std::tolower(b);
  };
  return whole.size() >= part.size() &&
         std::equal(part.begin(), part.end(), whole.begin(), is_same);
}

/// Whether `name` has the first letters of the words of `whole`: "lr" and "learning_rate".
bool is_abbreviation_of(std::string_view name, std::string_view whole) {
  std::string letters;
  for (size_t i = 0; i < whole.size(); ++i) {
    if (whole[i] != '_' && (i == 0 || whole[i - 1] == '_')) letters += whole[i];
  }
  return letters.size() >= 2 && name == letters;
}

/// The only name of which `is_meant` is true, or "".
template <class Predicate>
std::string only_one(const std::vector<std::string>& known, Predicate is_meant) {
  const auto first = std::find_if(known.begin(), known.end(), is_meant);
  if (first == known.end() || std::find_if(first + 1, known.end(), is_meant) != known.end()) {
    return {};
  }
  return *first;
}

/// The reason for which a file can't be used, with what may have been meant if it isn't there.
std::string with_hint(std::string_view path, std::string_view reason) {
  std::string text(reason);
  if (reason == std::strerror(ENOENT)) text += missing_file_hint(path);
  return text;
}

}  // namespace

std::string shortened(std::string_view text, size_t most) {
  if (text.size() <= most) return std::string(text);
  return fmt::format("{}... ({} bytes)", first_bytes(text, most), text.size());
}

std::string nearest_name(std::string_view name, const std::vector<std::string>& known) {
  std::string nearest;
  // Capital letters count only between names that are otherwise equally near.
  std::pair<size_t, size_t> smallest{std::max<size_t>(2, name.size() / 3) + 1, 0};
  const std::string small = to_small_letters(name);
  for (const auto& candidate : known) {
    const std::string other = to_small_letters(candidate);
    const size_t letters = edit_distance(small, other);
    // Names that share nothing, or nothing but an ending such as DataModule, aren't near.
    const size_t length = std::max(name.size(), candidate.size());
    const bool is_near = letters < (letters <= 2 ? length : differing_length(small, other));
    const std::pair distance{letters, edit_distance(name, candidate)};
    if (distance < smallest && is_near) {
      smallest = distance;
      nearest = candidate;
    }
  }
  if (!nearest.empty()) return nearest;
  nearest = only_one(
      known, [&](const std::string& candidate) { return is_abbreviation_of(name, candidate); });
  if (!nearest.empty() || name.size() < 3) return nearest;
  return only_one(known,
                  [&](const std::string& candidate) { return is_beginning_of(name, candidate); });
}

ConfigError ConfigError::invalid_value(std::string_view option, std::string_view value,
                                       std::string_view requirement) {
  return ConfigError(fmt::format("{} = {}: {}", option, shortened(value), requirement));
}

ConfigError ConfigError::unknown_name(std::string_view kind, std::string_view name,
                                      const std::vector<std::string>& known,
                                      std::string_view where) {
  const std::string shown = shortened(name);
  const std::string nearest = nearest_name(shown, known);
  const std::string hint = known.empty() ? "there are none"
                           : nearest.empty()
                               ? fmt::format("the known ones are: {}", fmt::join(known, ", "))
                               : fmt::format("did you mean '{}'?", nearest);
  const std::string prefix = where.empty() ? std::string() : fmt::format("{}: ", where);
  return ConfigError(fmt::format("{}unknown {} '{}'; {}", prefix, kind, shown, hint));
}

ConfigError ConfigError::conflict(std::string_view what, std::string_view hint) {
  return ConfigError(fmt::format("{}; {}", what, hint));
}

ConfigError ConfigError::no_such_device(std::string_view device, std::string_view available) {
  return ConfigError(fmt::format("no such device: {}; this machine has: {}", device, available));
}

DataError DataError::rows_differ(std::string_view a, int64_t rows_a, std::string_view b,
                                 int64_t rows_b) {
  return DataError(fmt::format(
      "'{}' has {} rows but '{}' has {}: every tensor of a data set needs the same number", a,
      rows_a, b, rows_b));
}

DataError DataError::empty(std::string_view what, std::string_view hint) {
  return DataError(fmt::format("{} is empty; {}", what, hint));
}

DataError DataError::bad_value(std::string_view what, std::string_view value,
                               std::string_view where, std::string_view hint) {
  return DataError(fmt::format("{}: {} is {}; {}", where, what, shortened(value), hint));
}

DataError DataError::no_such_tensor(std::string_view name, const std::vector<std::string>& known) {
  return DataError(known.empty() ? fmt::format("there is no tensor '{}': the batch is empty", name)
                                 : fmt::format("there is no tensor '{}'; the tensors are: {}", name,
                                               fmt::join(known, ", ")));
}

DataError DataError::no_such_row(int64_t row, int64_t size, std::string_view hint) {
  const auto rows = size > 0 ? fmt::format("rows 0 to {}", size - 1) : std::string("no rows");
  return DataError(
      fmt::format("row {} was asked for, but the data set has {}; {}", row, rows, hint));
}

DataError DataError::wrong_row_count(int64_t asked, int64_t given) {
  return DataError(fmt::format(
      "the data set was asked for {} rows and returned {}; get_batch must return every row it is "
      "asked for. A stream must return nothing from size(), and may return fewer rows only at its "
      "end, never more.",
      asked, given));
}

DataError DataError::unreadable(std::string_view path, std::string_view reason) {
  return DataError(fmt::format("can't read '{}': {}", path, with_hint(path, reason)));
}

DataError DataError::corrupt(std::string_view path, std::string_view reason) {
  return DataError(fmt::format("'{}' is damaged or of another format: {}", path, reason));
}

CheckpointError CheckpointError::io(std::string_view action, std::string_view path,
                                    std::string_view reason) {
  return CheckpointError(fmt::format("can't {} '{}': {}", action, path, with_hint(path, reason)));
}

CheckpointError CheckpointError::corrupt(std::string_view path, std::string_view reason) {
  return CheckpointError(
      fmt::format("'{}' isn't a whole checkpoint: {}; use an earlier one", path, reason));
}

CheckpointError CheckpointError::mismatch(std::string_view what,
                                          const std::vector<std::string>& problems,
                                          std::string_view verdict) {
  constexpr size_t kShown = 10;
  const size_t shown = std::min(problems.size(), kShown);
  std::string list;
  for (size_t i = 0; i < shown; ++i) list += "\n  - " + problems[i];
  if (problems.size() > shown) list += fmt::format("\n  - and {} more", problems.size() - shown);
  return CheckpointError(fmt::format("{} {}:{}", what, verdict, list));
}

ModuleError ModuleError::metric_not_logged(std::string_view who, std::string_view monitor,
                                           const std::vector<std::string>& logged) {
  const std::string nearest = nearest_name(monitor, logged);
  const std::string hint = logged.empty() ? std::string("no metric was logged")
                           : nearest.empty()
                               ? fmt::format("the logged metrics are: {}", fmt::join(logged, ", "))
                               : fmt::format("did you mean '{}'? The logged metrics are: {}",
                                             nearest, fmt::join(logged, ", "));
  return ModuleError(
      fmt::format("{} needs the metric '{}', which was not logged; {}", who, monitor, hint));
}

ModuleError ModuleError::contract(std::string_view hook, std::string_view problem,
                                  std::string_view hint) {
  return ModuleError(fmt::format("{}: {}; {}", hook, problem, hint));
}

}  // namespace levin
