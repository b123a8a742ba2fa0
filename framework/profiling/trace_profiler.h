#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include <levin/framework/profiling/profiler.h>

namespace levin {

struct TraceProfilerOptions {
  /// Events in the file, shared out among the ranks (48 bytes each in memory). Where a run has
  /// more, those of its middle are left out.
  int64_t max_events = 400'000;
};

/// What a rank did, and when.
struct TraceEvent {
  enum class Kind : uint8_t {
    data,           ///< waiting for the next batch
    transfer,       ///< to the device
    forward,        ///< training_step and its like
    backward,       ///< until this rank's last gradient
    update,         ///< the optimizer
    callbacks,      ///< hooks
    validation,     ///< within fit
    loggers,        ///< rows handed over
    files,          ///< checkpoints
    idle,           ///< waiting for the sums over ranks
    communication,  ///< a collective of the reduction; beside the others
  };
  double begin = 0.0;  // seconds of files::monotonic_seconds
  double end = 0.0;
  int64_t step = 0;  // optimizer steps done before it
  int64_t bytes = 0;
  Kind kind = Kind::data;
};

/// The first and the last of a long row of events, in bounded memory.
class TraceEvents {
 public:
  explicit TraceEvents(size_t capacity = 0) : capacity_(capacity) {}
  /// Adds an event, or lengthens the last one where it goes on.
  void add(const TraceEvent& event);
  /// In the order of their beginnings.
  std::vector<TraceEvent> sorted() const;
  /// How many were left out.
  int64_t dropped() const { return dropped_; }

 private:
  size_t capacity_;
  std::vector<TraceEvent> events_;  // the second half is a ring
  size_t last_ = 0;
  int64_t dropped_ = 0;
};

/// A timeline: besides the table's numbers, writes what each rank did when to `trace.json` in the
/// run's folder (of other stages than fit: `trace_test.json` ...), for Perfetto (ui.perfetto.dev)
/// or chrome://tracing. One process a rank, one thread for the training, others for collectives
/// that are under way at the same time; microseconds from the start of the first rank. What takes
/// less than a microsecond is left out. A failed run leaves no trace.
///
/// Ranks of one host read the same clock. Where there are more hosts, ranks meet five times when
/// the run starts, and the moments they go on are taken as one (the median): that is as good as the
/// ranks leave the gathering together, about the time a message takes through all of them: tenths
/// of a millisecond in one rack. How clocks drift apart later, some 10 us a second, is not seen.
class TraceProfiler : public SimpleProfiler {
 public:
  using Options = TraceProfilerOptions;
  /// Tells on `out` (null: nowhere) where the trace lies.
  explicit TraceProfiler(TraceProfilerOptions options = {}, std::FILE* out = stderr);

  void begin_run(Stage stage) override;
  void joined(const ProfiledRanks& ranks) override;
  void reduced(const Reduction& step) override;
  void end_run(bool failed) override;

 protected:
  void passed(Part part, double from, double to) override;

 private:
  void add(TraceEvent::Kind kind, double from, double to);
  std::string own_clock() const;
  std::string own_text(double shift) const;

  TraceProfilerOptions options_;
  std::FILE* trace_out_;
  TraceEvents events_;
  TraceEvents collectives_;
  Reduction wait_;                // of the backward in progress; only its two moments
  std::vector<double> meetings_;  // when each ended
};

/// Chrome's trace format: complete events ("X") with a line for each. `shift` is added to every
/// moment; `rank` is the process. Lines end with ",\n" but for the last.
std::string chrome_events(const std::vector<TraceEvent>& events, int64_t rank, double shift);

/// What to add to a rank's clock for the first rank's. The ranks' meetings ended at these moments.
double clock_offset(const std::vector<double>& first, const std::vector<double>& other);

}  // namespace levin
