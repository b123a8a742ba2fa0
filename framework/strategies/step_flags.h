#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace levin {

class Ranks;

/// What Ranks::any_after_step asks, on its way between ranks: flags that any rank may raise after a
/// step, and that all ranks learn of together after the next one.
///
/// Flags travel as a few numbers that are summed over ranks beside the gradients, so that a step in
/// which nothing new is raised costs no exchange of its own. Each key has a number of its own from
/// the second time it is raised. The first time, only the last number says that some key is raised;
/// it has the same sum on all ranks, so all of them exchange the names of those keys at the same
/// step, and give each the next free number. Keys for which no number is left are exchanged by name
/// each time they are raised.
///
/// The strategy calls `write` and `read` around each reduction of gradients.
class StepFlags {
 public:
  /// How many numbers travel; all but the last one belong to a key.
  static constexpr size_t kNumbers = 13;

  /// Forgets all keys; on every rank.
  void clear();

  /// Raises `key` on this rank if `raised`. Returns whether a reduction since the last call told
  /// that some rank had raised it.
  bool agreed(std::string_view key, bool raised);

  /// Puts this rank's flags into `numbers`, which the reduction sums over ranks.
  void write(std::span<double, kNumbers> numbers) const;

  /// Takes the flags from the sums. `ranks` exchanges names if there are any to exchange; then it
  /// is a collective.
  void read(std::span<const double, kNumbers> sums, Ranks& ranks);

 private:
  static constexpr size_t kNamed = kNumbers - 1;  // the number of "some key without a number"

  struct Flag {
    std::string key;
    size_t number = kNamed;
    bool raised = false;  // by this rank, and not known to all yet
    bool agreed = false;  // known to all, and not told to whoever asks yet
  };

  Flag& flag(std::string_view key);
  void agree(Flag& flag);

  std::vector<Flag> flags_;
  size_t numbers_given_ = 0;
};

}  // namespace levin
