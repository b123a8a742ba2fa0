#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/core/stage.h>
#include <levin/framework/profiling/communication.h>

namespace levin {

/// What the time of a run goes to.
enum class Part : uint8_t {
  data,        ///< waiting for the next batch
  transfer,    ///< to the device, with the hooks around it
  forward,     ///< training_step, validation_step, test_step or predict_step
  backward,    ///< Module::backward and the reduction of gradients
  optimizer,   ///< its step: zeroing, clipping and changing parameters
  callbacks,   ///< hooks of callbacks and of the module
  validation,  ///< validation within fit, the sanity check too
  loggers,     ///< handing rows to loggers
  files,       ///< checkpoints written and read
  rest,        ///< everything else: setup, the loops; never begun, only reported
};
inline constexpr size_t kNumParts = static_cast<size_t>(Part::rest) + 1;

/// "waiting for data", "forward" ...: how tables name a part.
std::string_view part_name(Part part);

/// Where the time of one run went: plain numbers that add up.
struct Profile {
  struct Row {
    int64_t calls = 0;
    double seconds = 0.0;
    double mean_us() const { return calls > 0 ? seconds * 1e6 / static_cast<double>(calls) : 0.0; }
  };

  Stage stage = Stage::fit;
  /// From the start of the run to its end; 0: nothing was profiled.
  double seconds = 0.0;
  /// LibTorch's threads within an operation, as they were at the end.
  int threads = 0;
  std::array<Row, kNumParts> rows{};
  /// What summing gradients over ranks took, a part of `backward`.
  Communication communication{};
  /// Of a run of several ranks that has ended: all of theirs, in their order.
  std::vector<Profile> ranks{};

  const Row& row(Part part) const { return rows[static_cast<size_t>(part)]; }
  Row& row(Part part) { return rows[static_cast<size_t>(part)]; }
  /// The part's share of the run, 0 to 100.
  double percent(Part part) const { return seconds > 0 ? 100 * row(part).seconds / seconds : 0.0; }
  /// A line a part, longest first, columns aligned, shares in tenths that add up to 100.0. With
  /// several ranks a line a rank follows, whose backward is without the waiting beside it.
  std::string table() const;
};

/// The ranks of a run as a profiler gets to know them.
struct ProfiledRanks {
  int64_t rank = 0;
  int64_t world_size = 1;
  /// The texts of all ranks, in their order, on every rank; all have to call.
  std::function<std::vector<std::string>(const std::string&)> gather{};
  /// Optimizer steps done.
  std::function<int64_t()> step{};
  /// The run's folder; all ranks have to call. Empty: nothing may be written.
  std::function<std::filesystem::path()> folder{};
};

/// Is told by the loops when a part begins and ends. Parts nest and end in the reverse order; all
/// calls come from the thread the run is on, some within every step: an implementation should be as
/// quick as a look at the clock. Lightning: Profiler.
class Profiler {
 public:
  virtual ~Profiler() = default;

  /// A run begins: before the data module and the module are asked for anything.
  virtual void begin_run(Stage /*stage*/) {}
  /// The ranks have met: soon after `begin_run`.
  virtual void joined(const ProfiledRanks& /*ranks*/) {}
  virtual void begin(Part part) = 0;
  virtual void end(Part part) = 0;
  /// A step's gradients were summed over ranks; called within Part::backward.
  virtual void reduced(const Reduction& /*step*/) {}
  /// The run has ended, or failed. Where it hasn't failed, every rank is here.
  virtual void end_run(bool /*failed*/) {}
  /// Of the run in progress or last ended; empty where the implementation keeps none.
  virtual Profile profile() const { return {}; }
};

/// Adds up the time each part took by itself: where one begins within another, the outer one's
/// clock stands still. Within a validation, its data, transfer and forward are time of the
/// validation; its hooks, loggers and files are theirs. Lightning: SimpleProfiler.
class SimpleProfiler : public Profiler {
 public:
  /// Writes the table to `out` (null: nowhere) at the end of each run; of several ranks, rank 0.
  explicit SimpleProfiler(std::FILE* out = stderr) : out_(out) {}

  void begin_run(Stage stage) override;
  void joined(const ProfiledRanks& ranks) override { ranks_ = ranks; }
  void begin(Part part) override;
  void end(Part part) override;
  void reduced(const Reduction& step) override { profile_.communication.add(step); }
  void end_run(bool failed) override;
  Profile profile() const override;

 protected:
  /// The time from one moment to another was the part's.
  virtual void passed(Part /*part*/, double /*from*/, double /*to*/) {}
  const ProfiledRanks& ranks() const { return ranks_; }
  /// When the run began.
  double started() const { return started_; }

 private:
  void pass_time();
  void gather_ranks();

  std::FILE* out_;
  Profile profile_;
  ProfiledRanks ranks_;
  std::vector<Part> open_;  // what each part that has begun counts as; the last one's clock runs
  double started_ = 0.0;
  double last_ = 0.0;  // when the clock was read
  bool running_ = false;
};

/// Tells a profiler of a part within a scope; without one (null) that is a look at a pointer.
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
