#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/core/ranks.h>
#include <levin/framework/core/stage.h>
#include <levin/framework/profiling/communication.h>
#include <levin/framework/profiling/exchanges.h>
#include <levin/framework/profiling/pipelining.h>

namespace levin {

/// The parts of a run that a profiler tells apart.
enum class Part : uint8_t {
  data,        ///< waiting for the next batch
  transfer,    ///< moving a batch to the device, with the hooks around it
  forward,     ///< training_step, validation_step, test_step or predict_step
  backward,    ///< Module::backward and the reduction of gradients
  optimizer,   ///< the optimizer's step: zeroing, clipping and changing parameters
  callbacks,   ///< hooks of callbacks and of the module
  validation,  ///< validation within fit, the sanity check included
  loggers,     ///< handing rows to loggers
  files,       ///< writing and reading checkpoints
  rest,        ///< everything else, such as setup and the loops; never begun, only reported
};
inline constexpr size_t kNumParts = static_cast<size_t>(Part::rest) + 1;

/// The name of a part in tables: "waiting for data", "forward" ...
std::string_view part_name(Part part);

/// Where the time of one run went. The rows add up to `seconds`, since every moment belongs to
/// exactly one part.
///
///     Profile profile = trainer.profile();
///     fmt::print("{:.1f} % in backward\n", profile.percent(Part::backward));
///     fmt::print("{}", profile.table());
struct Profile {
  /// One line of the table: how often a part began and how long it took.
  struct Row {
    /// How often the part began; always 0 for Part::rest.
    int64_t calls = 0;
    /// The time of the part by itself, without the parts that began within it.
    double seconds = 0.0;
    /// The part of `seconds` in which this rank waited for others.
    double waiting = 0.0;
    /// Microseconds a call; 0 without calls.
    double mean_us() const { return calls > 0 ? seconds * 1e6 / static_cast<double>(calls) : 0.0; }
  };

  /// What the run was for: fit, validate, test or predict.
  Stage stage = Stage::fit;
  /// From the start of the run to its end, in seconds; 0 if nothing was profiled.
  double seconds = 0.0;
  /// How many threads LibTorch used within an operation at the end of the run.
  int threads = 0;
  /// One row for each part, in the order of Part.
  std::array<Row, kNumParts> rows{};
  /// What it took to sum gradients over ranks; its time is a part of Part::backward. If ranks take
  /// steps by themselves, what it took to average weights, in Part::optimizer.
  Communication communication{};
  /// What this rank did in a pipeline; its time is a part of Part::forward, which in a pipeline has
  /// the backward passes, too.
  Pipelining pipelining{};
  /// What this rank exchanged besides.
  Exchanges exchanges{};
  /// The profiles of all ranks in their order, once a run of several ranks has ended; the same on
  /// every rank. Empty for a single rank.
  std::vector<Profile> ranks{};

  const Row& row(Part part) const { return rows[static_cast<size_t>(part)]; }
  Row& row(Part part) { return rows[static_cast<size_t>(part)]; }
  /// The part's share of the run's time, 0 to 100.
  double percent(Part part) const { return seconds > 0 ? 100 * row(part).seconds / seconds : 0.0; }
  /// A table with one line for each part, the longest first, whose shares add up to 100.0 %. After
  /// a run of several ranks one line for each rank follows; its forward, backward and update leave
  /// out the time that the rank waited for others. After a fit by a pipeline there is one more line
  /// for each rank, and then one for each rank and each kind of other exchange.
  std::string table() const;
};

/// The loops tell a profiler when each part of a run begins and ends. Lightning: Profiler.
///
/// Parts nest, and end in the reverse order of their beginning. All calls come from the thread that
/// the run is on, some of them within every step: an implementation should take no longer than
/// one reading of the clock. On a CUDA device, times are those of the host, which queues work and
/// goes on; what it waits for later counts for the part that waits.
///
/// To write one, subclass Profiler for a report of your own, or SimpleProfiler to get its sums too:
///
///     class CallCounter : public levin::Profiler {
///      public:
///       void begin(levin::Part part) override { ++calls[static_cast<size_t>(part)]; }
///       void end(levin::Part) override {}
///       std::array<int64_t, levin::kNumParts> calls{};
///     };
class Profiler {
 public:
  virtual ~Profiler() = default;

  /// A run begins. The data module and the module haven't been asked for anything yet. Nothing of
  /// an earlier run should remain.
  virtual void begin_run(Stage /*stage*/) {}
  /// The ranks of the run have met. Called on every rank, soon after `begin_run`. `ranks` and
  /// `global_step`, the number of optimizer steps done, may be read until `end_run` returns.
  /// `folder` returns the run's folder and makes it at the first call, which all ranks have to make
  /// together. `folder` is empty if the run may not write.
  virtual void joined(Ranks& /*ranks*/, const int64_t* /*global_step*/,
                      std::function<std::filesystem::path()> /*folder*/) {}
  /// A part begins, within the one that began last and hasn't ended. Never Part::rest.
  virtual void begin(Part part) = 0;
  /// The part that began last ends.
  virtual void end(Part part) = 0;
  /// The gradients of a step were summed over ranks; called within Part::backward.
  virtual void reduced(const Reduction& /*step*/) {}
  /// Ranks have exchanged something besides gradients; called within the part that waits for it, or
  /// for another thread's exchange, with the next one.
  virtual void exchanged(const Exchange& /*exchange*/) {}
  /// A pipeline has passed a training batch through its stages; called within Part::forward.
  virtual void pipelined(const PipelineBatch& /*batch*/) {}
  /// The run has ended. If it hasn't `failed`, every rank calls this, and ranks may be asked.
  virtual void end_run(bool /*failed*/) {}
  /// The profile of the run in progress, or else of the last one; empty if the implementation
  /// keeps none.
  virtual Profile profile() const { return {}; }
};

/// Adds up the time that each part took by itself: while a part is within another, the clock of the
/// outer one stands still. Within a validation the data, transfer and forward parts count as
/// validation; hooks, loggers and files count as what they are. It costs one reading of the clock
/// for each beginning and end. Lightning: SimpleProfiler.
class SimpleProfiler : public Profiler {
 public:
  /// At the end of each run that hasn't failed, rank 0 writes `Profile::table` to `out`, which the
  /// caller keeps open. With null nothing is written; `profile` returns the numbers all the same.
  explicit SimpleProfiler(std::FILE* out = stderr) : out_(out) {}

  /// Clears the profile and starts the clock.
  void begin_run(Stage stage) override;
  void joined(Ranks& ranks, const int64_t* global_step,
              std::function<std::filesystem::path()> folder) override;
  void begin(Part part) override;
  void end(Part part) override;
  void reduced(const Reduction& step) override;
  void exchanged(const Exchange& exchange) override;
  void pipelined(const PipelineBatch& batch) override;
  /// Stops the clock. With several ranks, this gathers all profiles, unless the run has failed.
  void end_run(bool failed) override;
  /// The numbers up to the last beginning or end of a part; may be called during the run.
  Profile profile() const override;

 protected:
  /// Called for each stretch of time that belongs to one part, between two moments of
  /// files::monotonic_seconds.
  virtual void passed(Part /*part*/, double /*from*/, double /*to*/) {}
  /// Called instead if the rank waited for others all the time.
  virtual void waited(Part part, double from, double to) { passed(part, from, to); }
  /// The arguments of `joined`; before that call, a single rank at step 0 that may write nothing.
  Ranks& ranks() const { return *ranks_; }
  int64_t global_step() const { return global_step_ != nullptr ? *global_step_ : 0; }
  const std::function<std::filesystem::path()>& folder() const { return folder_; }
  /// The moment at which the run began, in files::monotonic_seconds.
  double started() const { return started_; }

 private:
  /// Adds the time since the clock was last read to the part that is open now.
  void pass_time();
  /// The same if the rank has waited for others since then.
  void pass_waits(Part part, double now);
  /// Fills in `ranks` of the profile; a collective.
  void gather_ranks();

  std::FILE* out_;
  Profile profile_;
  Ranks* ranks_ = &single_rank();
  const int64_t* global_step_ = nullptr;
  std::function<std::filesystem::path()> folder_;
  struct Wait {
    double begin = 0.0;
    double end = 0.0;
  };
  std::vector<Wait> waits_;  // for other ranks, since the clock was read
  std::vector<Part> open_;   // what each part that has begun counts as; the last one's clock runs
  double started_ = 0.0;
  double last_ = 0.0;  // when the clock was read
  bool running_ = false;
};

/// Tells a profiler that a part begins here and ends at the end of the scope, also if an exception
/// leaves it. Without a profiler (null) it costs one comparison of a pointer.
///
///     const ProfilePart profiled(profiler, Part::files);
class ProfilePart {
 public:
  ProfilePart(Profiler* profiler, Part part) : profiler_(profiler), part_(part) {
    if (profiler_ != nullptr) [[unlikely]]
      profiler_->begin(part_);
  }
  ~ProfilePart() {
    if (profiler_ != nullptr) [[unlikely]]
      profiler_->end(part_);
  }
  ProfilePart(const ProfilePart&) = delete;
  ProfilePart& operator=(const ProfilePart&) = delete;

 private:
  Profiler* profiler_;
  Part part_;
};

}  // namespace levin
