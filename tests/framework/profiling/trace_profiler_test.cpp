#include <levin/framework/profiling/trace_profiler.h>

#include "framework/meeting.h"
#include "framework/support.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

namespace levin::trace_profiler_test {

using nlohmann::json;
using test::Meeting;
using test::TemporaryFolder;
using test::ThreadClocks;

/// The file's events of one rank, by name; checks what the format asks for.
std::map<std::string, std::vector<json>> events_of(const json& trace, int rank) {
  std::map<std::string, std::vector<json>> events;
  for (const json& event : trace.at("traceEvents")) {
    if (event.at("pid") != rank) continue;
    EXPECT_TRUE(event.at("tid").is_number_integer());
    if (event.at("ph") == "M") {
      EXPECT_TRUE(event.at("args").at("name").is_string());
    } else {
      EXPECT_EQ(event.at("ph"), "X");
      EXPECT_GE(event.at("ts").get<double>(), 0.0);
      EXPECT_GE(event.at("dur").get<double>(), 1.0);
      EXPECT_TRUE(event.at("args").at("step").is_number_integer());
    }
    events[event.at("name")].push_back(event);
  }
  return events;
}

/// On a thread, viewers want events to lie beside or within each other.
void expect_no_overlap(const json& trace, int rank) {
  std::map<int, double> ends;
  for (const json& event : trace.at("traceEvents")) {
    if (event.at("pid") != rank || event.at("ph") != "X") continue;
    double& end = ends[event.at("tid").get<int>()];
    EXPECT_GE(event.at("ts").get<double>(), end - 0.01) << event;
    end = event.at("ts").get<double>() + event.at("dur").get<double>();
  }
}

/// Two steps; rank 1 begins half a second later, and its backward takes longer.
void run_rank(Meeting& meeting, size_t rank, const std::filesystem::path& folder, bool failed,
              const TraceProfilerOptions& options = {}, std::FILE* out = nullptr) {
  double& now = ThreadClocks::now() = rank == 0 ? 1000.0 : 1000.5;
  int64_t step = 0;
  test::ThreadRank ranks(meeting, rank);
  TraceProfiler profiler(options, out);
  profiler.begin_run(Stage::fit);
  profiler.joined(ranks, &step, [&] { return folder; });
  const auto take = [&](Part part, double seconds) {
    const ProfilePart profiled(&profiler, part);
    now += seconds;
  };
  for (step = 0; step < 2; ++step) {
    take(Part::data, 0.25);
    {
      const ProfilePart update(&profiler, Part::optimizer);
      take(Part::forward, 0.5);
      {
        const ProfilePart backward(&profiler, Part::backward);
        const double begin = now;
        now = 1003.0 + 3.0 * static_cast<double>(step);
        const double ready = rank == 0 ? now - 1.0 : now - 0.25;
        profiler.reduced({.collectives = {{begin + 0.125, ready + 0.125, 64}, {ready, now, 32}},
                          .ready = ready,
                          .end = now});
      }
      now += 0.125;
    }
  }
  profiler.end_run(failed);
}

// Row 44.
TEST(TraceProfiler, shows_what_each_rank_did_when_in_one_file) {
  const TemporaryFolder folder;
  const ThreadClocks clocks;
  Meeting meeting(2);
  test::in_threads(2, [&](size_t r) { run_rank(meeting, r, folder.path(), false); });
  const json trace = json::parse(test::read_file(folder.path() / "trace.json"));
  for (const int rank : {0, 1}) {
    auto events = events_of(trace, rank);
    expect_no_overlap(trace, rank);
    EXPECT_EQ(events["process_name"].at(0).at("args").at("name"), "rank " + std::to_string(rank));
    for (const char* name : {"data", "forward", "backward", "update", "idle"}) {
      ASSERT_EQ(events[name].size(), 2U) << name;
      for (size_t i = 0; i < 2; ++i) EXPECT_EQ(events[name][i].at("args").at("step"), i) << name;
    }
    ASSERT_EQ(events["communication"].size(), 4U);
    EXPECT_EQ(events["communication"][0].at("args").at("bytes"), 64);
    // Both collectives of a step are under way at once.
    EXPECT_NE(events["communication"][0].at("tid"), events["communication"][1].at("tid"));
    EXPECT_EQ(events["data"][0].at("ts"),
              rank == 0 ? 0.0 : 0.5e6);  // one clock, from rank 0's start
    EXPECT_EQ(events["forward"][0].at("dur"), 0.5e6);
    EXPECT_EQ(events["idle"][1].at("dur"), rank == 0 ? 1e6 : 0.25e6);
    EXPECT_EQ(events["idle"][1].at("ts").get<double>() + events["idle"][1].at("dur").get<double>(),
              6e6);
    EXPECT_EQ(events["update"][1].at("dur"), 0.125e6);
  }
}

// Rows 42 and 44.
TEST(TraceProfiler, shows_other_exchanges_by_name_and_what_waited_for_them_as_idle) {
  const TemporaryFolder folder;
  const ThreadClocks clocks;
  Meeting meeting(2);
  test::in_threads(2, [&](size_t rank) {
    double& own = ThreadClocks::now() = 100;
    test::ThreadRank ranks(meeting, rank);
    TraceProfiler each({}, nullptr);
    each.begin_run(Stage::fit);
    each.joined(ranks, nullptr, [&] { return folder.path(); });
    {
      const ProfilePart forward(&each, Part::forward);
      own += 4;  // of which the second half was a wait for a layer that was asked for at 101
      each.exchanged({ExchangeKind::layers, 101, own, 2, 32});
      own += 1;
    }
    own += 1;
    each.exchanged({ExchangeKind::metrics, 105, own, 1, 8});  // outside of all parts
    {
      const ProfilePart forward(&each, Part::forward);
      PipelineBatch batch{
          .passes = {{own + 1, own + 2, true, 1, 0}, {own + 2, own + 3, true, 1, 1}},
          .begin = own,
          .end = own + 4,
          .waiting = 2};
      own += 4;
      each.pipelined(batch);
    }
    each.end_run(/*failed=*/false);
  });
  const json trace = json::parse(test::read_file(folder.path() / "trace.json"));
  for (const int rank : {0, 1}) {
    auto events = events_of(trace, rank);
    expect_no_overlap(trace, rank);
    ASSERT_EQ(events["layers"].size(), 1U);
    EXPECT_EQ(events["layers"][0].at("cat"), "communication");
    EXPECT_EQ(events["layers"][0].at("ts"), 1e6);
    EXPECT_EQ(events["layers"][0].at("dur"), 3e6);
    EXPECT_EQ(events["layers"][0].at("args").at("bytes"), 32);
    EXPECT_EQ(events["metrics"].size(), 1U);
    std::vector<std::pair<double, double>> idle;  // begin and length in seconds
    for (const auto& event : events["idle"]) {
      idle.emplace_back(event.at("ts").get<double>() / 1e6, event.at("dur").get<double>() / 1e6);
    }
    EXPECT_EQ(idle, (std::vector<std::pair<double, double>>{{2, 2}, {5, 2}, {9, 1}}));
    ASSERT_EQ(events["forward"].size(), 4U);
    for (const size_t micro_batch : {0U, 1U}) {
      const json& arguments = events["forward"][2 + micro_batch].at("args");
      EXPECT_EQ(arguments.at("micro_batch"), micro_batch);
      EXPECT_EQ(arguments.at("stage"), 1);
    }
  }
}

TEST(TraceProfiler, says_where_the_trace_is_and_how_many_events_of_all_ranks_it_lacks) {
  const TemporaryFolder folder;
  const ThreadClocks clocks;
  const auto told = [&](const TraceProfilerOptions& options) {
    Meeting meeting(2);
    testing::internal::CaptureStderr();
    test::in_threads(
        2, [&](size_t r) { run_rank(meeting, r, folder.path(), false, options, stderr); });
    return testing::internal::GetCapturedStderr();
  };
  const std::string wrote = "wrote the trace " + (folder / "trace.json").string();
  EXPECT_EQ(told({}), wrote + "\n");
  const json trace = json::parse(test::read_file(folder / "trace.json"));
  const auto events = std::count_if(trace.at("traceEvents").begin(), trace.at("traceEvents").end(),
                                    [](const json& event) { return event.at("ph") == "X"; });
  EXPECT_EQ(told({.max_events = 0}),
            wrote + " (" + std::to_string(events) +
                " events from the middle of the run were left out; raise max_events to keep "
                "them)\n");
}

TEST(TraceProfiler, a_failed_run_leaves_none_and_waits_for_nobody) {
  const TemporaryFolder folder;
  const ThreadClocks clocks;
  Meeting meeting(2);
  test::in_threads(2, [&](size_t r) { run_rank(meeting, r, folder.path(), true); });
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(TraceProfiler, clocks_of_hosts_agree_where_their_meetings_end) {
  // The other clock is 40 s ahead; of five meetings one rank left two late.
  EXPECT_EQ(clock_offset({1, 2, 3, 4, 5}, {41, 42, 43.5, 44, 45.75}), -40.0);
  EXPECT_EQ(clock_offset({}, {}), 0.0);
}

TEST(TraceEvents, keeps_the_first_and_the_last_in_bounded_memory) {
  TraceEvents events(10);
  for (int i = 0; i < 100; ++i) events.add({.begin = 2.0 * i, .end = 2.0 * i + 1, .step = i});
  std::vector<int64_t> steps;
  for (const auto& event : events.sorted()) steps.push_back(event.step);
  EXPECT_EQ(steps, (std::vector<int64_t>{0, 1, 2, 3, 4, 95, 96, 97, 98, 99}));
  EXPECT_EQ(events.dropped(), 90);
  TraceEvents none(0);
  none.add({.begin = 0, .end = 1});
  EXPECT_EQ(none.sorted().size(), 0U);
}

TEST(TraceEvents, what_goes_on_is_one_event) {
  TraceEvents events(10);
  events.add({.begin = 1, .end = 2, .kind = TraceEvent::Kind::validation});
  events.add({.begin = 2, .end = 3, .kind = TraceEvent::Kind::validation});
  events.add({.begin = 3, .end = 4, .step = 1, .kind = TraceEvent::Kind::validation});
  events.add({.begin = 5, .end = 6, .step = 1, .kind = TraceEvent::Kind::validation});
  ASSERT_EQ(events.sorted().size(), 3U);
  EXPECT_EQ(events.sorted().front().end, 3);
}

// --- in a run ---

json trace_of_run(const std::filesystem::path& root, const char* name) {
  return json::parse(test::read_file(root / "levin_logs" / "version_0" / name));
}

/// While it lives, each reading of the clock finds it 1/8192 s (about 122 us) later than the one
/// before, on any thread: no part of a run is so short that a trace leaves it out. In real time, a
/// small model's update can take less than a microsecond.
class TickingClock {
 public:
  TickingClock() {
    files::inject_clock([this] { return static_cast<double>(++ticks_) / 8192; });
  }
  ~TickingClock() { files::inject_clock({}); }
  TickingClock(const TickingClock&) = delete;
  TickingClock& operator=(const TickingClock&) = delete;

 private:
  std::atomic<int64_t> ticks_ = 0;
};

TEST(TrainerTrace, has_every_step_of_a_run_in_the_runs_folder) {
  const TemporaryFolder folder;
  const TickingClock clock;
  test::PointsModule data(40, {.batch_size = 4});
  test::Classifier model;
  Trainer trainer({.accelerator = "cpu",
                   .max_epochs = 1,
                   .num_sanity_val_steps = 0,
                   .profiler = "trace",
                   .default_root_dir = folder.string()});
  testing::internal::CaptureStderr();
  trainer.fit(model, data);
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_NE(told.find("wrote the trace "), std::string::npos) << told;
  const json trace = trace_of_run(folder.path(), "trace.json");
  expect_no_overlap(trace, 0);
  auto events = events_of(trace, 0);
  for (const char* name : {"forward", "backward", "update"}) {
    std::set<int> steps;
    for (const auto& event : events[name]) steps.insert(event.at("args").at("step").get<int>());
    EXPECT_EQ(steps.size(), 10U) << name;
  }
  EXPECT_FALSE(events["validation"].empty());
  EXPECT_EQ(events.count("communication"), 0U);
  EXPECT_EQ(trainer.profile().row(Part::forward).calls, 10);
}

TEST(TrainerTrace, of_other_stages_lies_beside_it) {
  const TemporaryFolder folder;
  const TickingClock clock;
  test::PointsModule data(40, {.batch_size = 4});
  test::Classifier model;
  Trainer trainer({.accelerator = "cpu", .profiler = "trace", .default_root_dir = folder.string()});
  testing::internal::CaptureStderr();
  trainer.test(model, data);
  testing::internal::GetCapturedStderr();
  EXPECT_FALSE(events_of(trace_of_run(folder.path(), "trace_test.json"), 0)["forward"].empty());
}

TEST(TrainerTrace, that_cannot_be_written_is_a_warning_after_a_whole_run) {
  const TemporaryFolder folder;
  test::PointsModule data(40, {.batch_size = 4});
  test::Classifier model;
  Trainer trainer({.accelerator = "cpu",
                   .max_epochs = 1,
                   .profiler = "trace",
                   .default_root_dir = folder.string()});
  files::inject_faults([](const auto& each) { return each.name == "write" ? ENOSPC : 0; });
  testing::internal::CaptureStderr();
  const History history = trainer.fit(model, data);
  files::inject_faults({});
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(history.epochs.size(), 1U);
  EXPECT_NE(said.find("there is no trace: can't write"), std::string::npos) << said;
}

TEST(TrainerTrace, a_run_that_saves_nothing_leaves_none) {
  const TemporaryFolder folder;
  test::PointsModule data(40, {.batch_size = 4});
  test::Classifier model;
  Trainer trainer({.accelerator = "cpu",
                   .fast_dev_run = true,
                   .profiler = "trace",
                   .default_root_dir = folder.string()});
  trainer.fit(model, data);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(TrainerTrace, an_unknown_profiler_is_named_with_those_there_are) {
  const auto message = [](const char* name) -> std::string {
    try {
      Trainer trainer({.accelerator = "cpu", .profiler = name});
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message("tracer").find("did you mean 'trace'?"), std::string::npos);
  EXPECT_NE(message("perfect").find("the known ones are: simple, trace"), std::string::npos);
}

}  // namespace levin::trace_profiler_test
