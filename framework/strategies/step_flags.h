#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace levin {

class Ranks;

/// Carries the flags of Ranks::any_after_step between ranks: any rank may raise a flag after a
/// step, and all ranks learn of it together after the next step.
///
///     flags.agreed("Timer", is_late);              // after a step, on every rank
///     flags.write(numbers);                        // before the next reduction of gradients
///     flags.read(sums, ranks);                     // after it
///     if (flags.agreed("Timer", false)) stop();    // true on every rank if any rank was late
///
/// If the sums are late, `read` may come as late as right before the next `write`, on all ranks.
/// They then learn of the flag after the step after the next one. That answers all who have raised
/// the flag until then, whether before or after `write`, so nobody is told twice of one occasion,
/// and no flag is lost. What nobody has read when a fit ends is forgotten by `clear`.
///
/// Flags travel as a few numbers that are summed over ranks beside the gradients, so that a step in
/// which no new key is raised needs no exchange of its own. From the second time on that a key is
/// raised, it has a number of its own. The first time, only the last number says that some new key
/// was raised. That number has the same sum on all ranks, so all of them exchange the names of the
/// new keys at the same step, and give each the next free number. Keys for which no number is left
/// are exchanged by name each time they are raised.
///
/// The strategy calls `write` and `read` in turn, once each for every reduction of gradients.
class StepFlags {
 public:
  /// How many numbers travel with each reduction. All but the last one may belong to a key.
  static constexpr size_t kNumbers = 13;

  /// Forgets all keys. To be called on every rank, or on none.
  void clear();

  /// Raises `key` on this rank if `raised`. Returns true once for each time that a reduction has
  /// told all ranks that some rank raised the key.
  bool agreed(std::string_view key, bool raised);

  /// Puts this rank's flags into `numbers`, 0 or 1 each, which the reduction sums over ranks.
  void write(std::span<double, kNumbers> numbers) const;

  /// Takes the flags from the sums. If a key without a number was raised, `ranks` exchanges names;
  /// this call is a collective then.
  void read(std::span<const double, kNumbers> sums, Ranks& ranks);

 private:
  static constexpr size_t kNamed = kNumbers - 1;  // the number that says "some new key"

  struct Flag {
    std::string key;
    size_t number = kNamed;
    bool raised = false;  // by this rank, and not known to all yet
    bool agreed = false;  // known to all, and not returned by `agreed` yet
  };

  Flag& flag(std::string_view key);
  void agree(Flag& flag);

  std::vector<Flag> flags_;
  size_t numbers_given_ = 0;
};

}  // namespace levin
