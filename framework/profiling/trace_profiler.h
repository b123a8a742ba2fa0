#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include <levin/framework/profiling/profiler.h>

namespace levin {

struct TraceProfilerOptions {
  /// The most events in the file, all ranks together; each takes 48 bytes of memory while the run
  /// goes on. If a run has more, events of its middle are left out.
  int64_t max_events = 400'000;
};

/// Something a rank did, with its beginning and end.
struct TraceEvent {
  enum class Kind : uint8_t {
    data,           ///< waiting for the next batch
    transfer,       ///< moving a batch to the device
    forward,        ///< training_step, validation_step ...
    backward,       ///< backward, until this rank's last gradient is complete
    update,         ///< the optimizer's step
    callbacks,      ///< hooks of callbacks and of the module
    validation,     ///< validation within fit
    loggers,        ///< handing rows to loggers
    files,          ///< writing and reading checkpoints
    idle,           ///< waiting for the sums over ranks
    communication,  ///< a collective of the reduction; runs beside the others
  };
  /// Moments of files::monotonic_seconds, in seconds.
  double begin = 0.0;
  double end = 0.0;
  /// The number of optimizer steps done before it.
  int64_t step = 0;
  /// What a collective sent; 0 for all else.
  int64_t bytes = 0;
  Kind kind = Kind::data;
};

/// Keeps the first half and the last half of a long sequence of events in bounded memory.
class TraceEvents {
 public:
  /// Keeps at most `capacity` events.
  explicit TraceEvents(size_t capacity = 0) : capacity_(capacity) {}
  /// Adds an event, or lengthens the last one if this one continues it.
  void add(const TraceEvent& event);
  /// The events kept, in the order of their beginnings.
  std::vector<TraceEvent> sorted() const;
  /// How many events of the middle were left out.
  int64_t dropped() const { return dropped_; }

 private:
  size_t capacity_;
  std::vector<TraceEvent> events_;  // the second half is a ring
  size_t last_ = 0;
  int64_t dropped_ = 0;
};

/// Writes a timeline of all ranks, besides adding up the numbers of SimpleProfiler. The file is
/// `trace.json` in the run's folder (`trace_test.json` ... for other stages than fit), to be opened
/// in Perfetto (ui.perfetto.dev) or chrome://tracing. Each rank is shown as a process, with one
/// thread for the training and others for collectives that are under way at the same time. Times
/// are microseconds from the start of the first rank. Events shorter than a microsecond are left
/// out. A failed run leaves no trace.
///
/// Ranks of one host read the same clock. The clocks of several hosts are compared when the run
/// starts: all ranks gather five times, and the moments at which they go on are taken for the same
/// moment (the median of the five). The error is about the time that a message takes through all
/// ranks: tenths of a millisecond in one rack. How clocks drift apart later, some 10 microseconds a
/// second, is not corrected.
class TraceProfiler : public SimpleProfiler {
 public:
  using Options = TraceProfilerOptions;
  /// At the end of a run, rank 0 writes to `out` where the trace lies; null: nobody does.
  explicit TraceProfiler(TraceProfilerOptions options = {}, std::FILE* out = stderr);

  void begin_run(Stage stage) override;
  void joined(Ranks& ranks, const int64_t* global_step,
              std::function<std::filesystem::path()> folder) override;
  void reduced(const Reduction& step) override;
  void end_run(bool failed) override;

 protected:
  void passed(Part part, double from, double to) override;

 private:
  void make_room();
  void add(TraceEvent::Kind kind, double from, double to);
  std::string own_clock() const;
  std::string own_text(double shift) const;

  TraceProfilerOptions options_;
  std::FILE* trace_out_;
  TraceEvents events_;
  TraceEvents collectives_;
  Reduction wait_;                // of the backward in progress; only its two moments
  std::vector<double> meetings_;  // the moments at which the ranks' gatherings ended
};

/// The events in Chrome's trace format, one complete event ("X") a line; lines are joined by ",\n".
/// `rank` is the number of the process; `shift`, in seconds, is added to every moment.
std::string chrome_events(const std::vector<TraceEvent>& events, int64_t rank, double shift);

/// The seconds to add to a rank's clock to get the first rank's. `first` and `other` are the
/// moments at which the same gatherings ended, each by its rank's clock.
double clock_offset(const std::vector<double>& first, const std::vector<double>& other);

}  // namespace levin
