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

/// Where the time of one run went: plain numbers that add up.
///
///     Profile profile = trainer.profile();
///     fmt::print("{:.1f} % in backward\n", profile.percent(Part::backward));
struct Profile {
  struct Row {
    int64_t calls = 0;
    /// Of the part by itself, without the parts that began within it.
    double seconds = 0.0;
    /// Microseconds a call.
    double mean_us() const { return calls > 0 ? seconds * 1e6 / static_cast<double>(calls) : 0.0; }
  };

  Stage stage = Stage::fit;
  /// From the start of the run to its end; 0 if nothing was profiled.
  double seconds = 0.0;
  /// How many threads LibTorch used within an operation at the end of the run.
  int threads = 0;
  std::array<Row, kNumParts> rows{};
  /// What it took to sum gradients over ranks; its time is a part of Part::backward.
  Communication communication{};
  /// The profiles of all ranks in their order, once a run of several ranks has ended.
  std::vector<Profile> ranks{};

  const Row& row(Part part) const { return rows[static_cast<size_t>(part)]; }
  Row& row(Part part) { return rows[static_cast<size_t>(part)]; }
  /// The part's share of the run's time, 0 to 100.
  double percent(Part part) const { return seconds > 0 ? 100 * row(part).seconds / seconds : 0.0; }
  /// A table with one line for each part, the longest first, whose shares add up to 100.0 %. After
  /// a run of several ranks one line for each rank follows; its backward leaves out the time that
  /// the rank waited for others, which has a column of its own.
  std::string table() const;
};

/// A profiler is told by the loops when each part of a run begins and ends. Parts nest, and end in
/// the reverse order of their beginning. All calls come from the thread that the run is on, some of
/// them within every step: an implementation should take no longer than a look at the clock.
/// Lightning: Profiler.
class Profiler {
 public:
  virtual ~Profiler() = default;

  /// A run begins; the data module and the module haven't been asked for anything yet.
  virtual void begin_run(Stage /*stage*/) {}
  /// The ranks of the run have met, soon after `begin_run`; called on every rank. `ranks` and
  /// `global_step`, the number of optimizer steps done, may be read until `end_run` returns.
  /// `folder` returns the run's folder and makes it at the first call; all ranks have to call it
  /// then. It is empty if the run may not write anything.
  virtual void joined(Ranks& /*ranks*/, const int64_t* /*global_step*/,
                      std::function<std::filesystem::path()> /*folder*/) {}
  virtual void begin(Part part) = 0;
  virtual void end(Part part) = 0;
  /// The gradients of a step were summed over ranks; called within Part::backward.
  virtual void reduced(const Reduction& /*step*/) {}
  /// The run has ended. If it hasn't `failed`, every rank calls this, and ranks may be asked.
  virtual void end_run(bool /*failed*/) {}
  /// The profile of the run in progress, or else of the last one; empty if the implementation
  /// keeps none.
  virtual Profile profile() const { return {}; }
};

/// Adds up the time that each part took by itself: while a part is within another, the clock of the
/// outer one stands still. Within a validation the data, transfer and forward parts count as
/// validation; hooks, loggers and files count as what they are. Lightning: SimpleProfiler.
class SimpleProfiler : public Profiler {
 public:
  /// At the end of each run, rank 0 writes the table to `out`; null: nobody does.
  explicit SimpleProfiler(std::FILE* out = stderr) : out_(out) {}

  void begin_run(Stage stage) override;
  void joined(Ranks& ranks, const int64_t* global_step,
              std::function<std::filesystem::path()> folder) override;
  void begin(Part part) override;
  void end(Part part) override;
  void reduced(const Reduction& step) override { profile_.communication.add(step); }
  void end_run(bool failed) override;
  Profile profile() const override;

 protected:
  /// Called for each stretch of time that belongs to one part, between two moments of
  /// files::monotonic_seconds.
  virtual void passed(Part /*part*/, double /*from*/, double /*to*/) {}
  /// What `joined` told; before it, a single rank at step 0 that may write nothing.
  Ranks& ranks() const { return *ranks_; }
  int64_t global_step() const { return global_step_ != nullptr ? *global_step_ : 0; }
  const std::function<std::filesystem::path()>& folder() const { return folder_; }
  /// The moment at which the run began.
  double started() const { return started_; }

 private:
  void pass_time();
  void gather_ranks();

  std::FILE* out_;
  Profile profile_;
  Ranks* ranks_ = &single_rank();
  const int64_t* global_step_ = nullptr;
  std::function<std::filesystem::path()> folder_;
  std::vector<Part> open_;  // what each part that has begun counts as; the last one's clock runs
  double started_ = 0.0;
  double last_ = 0.0;  // when the clock was read
  bool running_ = false;
};

/// Tells a profiler that a part begins here and ends at the end of the scope. Without a profiler
/// (null) it costs a look at a pointer.
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
