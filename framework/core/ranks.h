#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace levin {

/// The ranks of a run: the processes that train one model together. This is how callbacks, loggers,
/// checkpoints and profilers ask the other ranks; `Run::ranks()` and `Strategy::ranks()` give it.
///
/// What a rank finds out by itself, such as the time or whether a file exists, may differ from rank
/// to rank. A decision that depends on it must be made by all ranks together; otherwise they take
/// different steps and wait for each other forever:
///
///     bool Patience::is_over(Run& run) {
///       const bool own = seconds_since_start() > limit_;    // every rank has a clock of its own
///       return run.ranks().any_after_step("Patience", own);  // the same answer on every rank
///     }
///
/// `any`, `gather` and `barrier` are collectives: every rank has to call them, in the same order,
/// and each returns only when all ranks have called it. All calls come from the thread that trains.
/// A call throws DistributedError if another rank failed, is gone, or doesn't call in time.
class Ranks {
 public:
  virtual ~Ranks() = default;

  /// The number of this rank, from 0 to `size()` - 1. Lightning: global_rank.
  virtual int64_t rank() const = 0;
  /// How many ranks there are. Lightning: world_size.
  virtual int64_t size() const = 0;
  /// Whether this is rank 0, the one that writes files and prints.
  bool is_zero() const { return rank() == 0; }
  /// Whether ranks take optimizer steps by themselves, so that their weights differ until they
  /// average them (TrainerOptions::model_averaging).
  virtual bool train_alone() const { return false; }

  /// Returns on every rank what `make` returned on rank 0; the other ranks never call `make`.
  ///
  /// This is no collective: rank 0 goes on at once, and another rank waits only until rank 0 has
  /// called. `key` says which calls belong together: the n-th call with a key on one rank gets the
  /// value of rank 0's n-th call with that key. Calls with different keys need not come in the same
  /// order on all ranks, nor at the same time (rank 0's logger may ask for the run's folder long
  /// before another rank does). Start the key with the name of the class that asks.
  virtual std::string from_rank_zero(const std::string& key,
                                     const std::function<std::string()>& make) = 0;

  /// Returns, on every rank, whether `raised` is true on any of them. A collective.
  virtual bool any(bool raised) = 0;

  /// Asks the same as `any`, but without waiting for other ranks: for questions that come up after
  /// every training step. Every rank has to ask after every step.
  ///
  /// With several ranks the answer travels with the gradients of the next step: what a rank raises
  /// after one step, all ranks are told after the next one; on a GPU after the one after that, so
  /// that the host needn't wait for the device. The answer is true only once; a rank for which the
  /// reason still holds has to pass true again. What is raised after the last steps of a fit may
  /// never be told. `key` says what is asked, and there may be any number of keys; start it with
  /// the name of the class that asks. Ranks that train alone are told when they exchange flags,
  /// which may be some steps later.
  virtual bool any_after_step(std::string_view /*key*/, bool raised) { return any(raised); }

  /// Returns the texts of all ranks in the order of the ranks, on every rank. Texts may hold any
  /// bytes and differ in length. A collective.
  virtual std::vector<std::string> gather(const std::string& own) = 0;

  /// Returns when every rank has called it. A collective.
  virtual void barrier() = 0;

  /// Adds up the values of all ranks, in place and in the order of the ranks, so that every rank
  /// gets the same bits. Every rank gives equally many values. A collective.
  void sum(std::span<double> values);
};

/// The ranks of a run of one process: every call answers at once.
class SingleRank final : public Ranks {
 public:
  int64_t rank() const override { return 0; }
  int64_t size() const override { return 1; }
  std::string from_rank_zero(const std::string& /*key*/,
                             const std::function<std::string()>& make) override {
    return make();
  }
  bool any(bool raised) override { return raised; }
  std::vector<std::string> gather(const std::string& own) override { return {own}; }
  void barrier() override {}
};

/// The one SingleRank of this process; it has no state, so everybody may share it.
inline Ranks& single_rank() {
  static SingleRank ranks;
  return ranks;
}

}  // namespace levin
