// The orders of passes against torch.distributed.pipelining:
// tests/baselines/pipeline_schedules.json.

#include <levin/framework/pipeline/schedule.h>

#include <algorithm>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <levin/framework/core/error.h>

#include "framework/message_of.h"

namespace levin::pipeline_schedule_test {

using nlohmann::json;
using test::message_of;
using test::says;

TEST(PipelineSchedule, makes_the_passes_in_the_order_of_pytorch) {
  std::ifstream file(LEVIN_SOURCE_DIR "/tests/baselines/pipeline_schedules.json");
  const auto cases = json::parse(file)["cases"];
  ASSERT_GE(cases.size(), 20U);
  for (const auto& one : cases) {
    const PipelineSchedule schedule(
        one["schedule"].get<std::string>(),
        {.ranks = one["ranks"], .chunks = one["chunks"], .micro_batches = one["micro_batches"]});
    std::string expected;
    for (const auto& line : one["table"]) expected += line.get<std::string>() + "\n";
    EXPECT_EQ(schedule.table(), expected) << schedule.name();
  }
}

TEST(PipelineSchedule, waits_for_the_share_of_time_that_the_papers_give) {
  for (const int64_t p : {1, 2, 3, 4, 8}) {
    for (const int64_t m : {p, 2 * p, 4 * p}) {
      for (const char* name : {"gpipe", "1f1b"}) {
        const auto cost = PipelineSchedule(name, {.ranks = p, .micro_batches = m}).cost(1.0, 2.0);
        const auto bubble = static_cast<double>(p - 1) / static_cast<double>(m + p - 1);
        EXPECT_NEAR(cost.bubble, bubble, 1e-12) << name << " " << p << " " << m;
        EXPECT_NEAR(cost.time, 3.0 * static_cast<double>(m + p - 1), 1e-9);
      }
      for (const int64_t v : {2, 3}) {
        const PipelineSizes sizes{.ranks = p, .chunks = v, .micro_batches = m};
        const auto cost = PipelineSchedule("interleaved1f1b", sizes).cost(1.0, 2.0);
        const auto work = 3.0 * static_cast<double>(v * m);
        const auto waits = static_cast<double>(p - 1) / static_cast<double>(v * m);
        EXPECT_NEAR((cost.time - work) / work, waits, 1e-12) << p << " " << m << " " << v;
      }
    }
  }
}

TEST(PipelineSchedule, holds_as_many_micro_batches_and_sends_as_many_messages_as_the_papers_say) {
  const int64_t p = 4, m = 12, v = 2;
  const auto gpipe = PipelineSchedule("gpipe", {.ranks = p, .micro_batches = m}).cost();
  const auto in_turn = PipelineSchedule("1f1b", {.ranks = p, .micro_batches = m}).cost();
  const auto interleaved =
      PipelineSchedule("interleaved1f1b", {.ranks = p, .chunks = v, .micro_batches = m}).cost();
  EXPECT_EQ(gpipe.held, (std::vector<int64_t>{m, m, m, m}));
  EXPECT_EQ(in_turn.held, (std::vector<int64_t>{4, 3, 2, 1}));
  // Of half a stage each: (v - 1) p of the first chunks, 2 for each rank behind, and one.
  EXPECT_EQ(interleaved.held, (std::vector<int64_t>{11, 9, 7, 5}));
  EXPECT_EQ(gpipe.messages, (std::vector<int64_t>{m, 2 * m, 2 * m, m}));
  EXPECT_EQ(in_turn.messages, gpipe.messages);
  // Between p v stages there are p v - 1 borders, each of them crossed both ways.
  EXPECT_EQ(interleaved.messages, (std::vector<int64_t>{3 * m, 4 * m, 4 * m, 3 * m}));
}

TEST(PipelineSchedule, ends_for_any_sizes_with_every_pass_made_once) {
  for (const auto& name : PipelineSchedule::names()) {
    for (int64_t p = 1; p <= 5; ++p) {
      for (int64_t m = 1; m <= 11; ++m) {
        const int64_t v = name == "interleaved1f1b" ? 2 : 1;
        if (v > 1 && m % std::max<int64_t>(1, m / p) != 0) continue;
        const PipelineSchedule schedule(name, {.ranks = p, .chunks = v, .micro_batches = m});
        EXPECT_GT(schedule.cost().time, 0.0);
        for (int64_t rank = 0; rank < p; ++rank) {
          auto actions = schedule.actions(rank);
          EXPECT_EQ(actions.size(), static_cast<size_t>(2 * v * m));
          for (int64_t stage = rank; stage < p * v; stage += p) {
            for (int64_t i = 0; i < m; ++i) {
              using Kind = PipelineAction::Kind;
              for (const Kind kind : {Kind::forward, Kind::backward}) {
                const PipelineAction action{kind, stage, i};
                EXPECT_EQ(std::count(actions.begin(), actions.end(), action), 1)
                    << name << " " << to_string(action);
              }
            }
          }
        }
      }
    }
  }
}

TEST(PipelineSchedule, refuses_what_it_cannot_schedule) {
  const auto made = [](const char* name, PipelineSizes sizes) {
    return message_of<ConfigError>([&] { PipelineSchedule(name, sizes); });
  };
  EXPECT_TRUE(says(made("1f1f", {}), {"1f1f", "did you mean", "1f1b"}));
  EXPECT_TRUE(says(made("1f1b", {.ranks = 0}), {"pipeline_size = 0", "at least 1"}));
  EXPECT_TRUE(says(made("gpipe", {.micro_batches = 0}), {"micro_batches = 0", "at least 1"}));
  EXPECT_TRUE(says(made("1f1b", {.ranks = 2, .chunks = 2, .micro_batches = 4}),
                   {"pipeline_chunks = 2", "1f1b", "interleaved1f1b"}));
  EXPECT_TRUE(says(made("interleaved1f1b", {.ranks = 2, .chunks = 2, .micro_batches = 5}),
                   {"micro_batches = 5", "a multiple of 2", "use 4"}));
}

}  // namespace levin::pipeline_schedule_test
