#include <levin/serving/backend/request_queue.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include <levin/serving/backend/capacity.h>
#include <levin/serving/protocol/refusal.h>

namespace levin::request_queue_test {

InferenceRequest request_of(int64_t rows, int64_t columns = 4, std::string id = {}) {
  InferenceRequest request;
  request.id = std::move(id);
  request.inputs.push_back({.name = "input",
                            .type = WireType::fp32,
                            .shape = {rows, columns},
                            .data = std::string(static_cast<size_t>(rows * columns) * 4, '\0')});
  return request;
}

/// A queue and what it has answered.
class RequestQueueTest : public testing::Test {
 protected:
  RequestQueue& make(RequestQueueOptions options, int64_t memory = int64_t{1} << 20) {
    memory_ = std::make_unique<MemoryBudget>(memory);
    queue_ = std::make_unique<RequestQueue>(options, *memory_, counters_);
    return *queue_;
  }
  /// Pushes a request, which isn't refused at once unless it has to be.
  bool push(InferenceRequest request) {
    Backend::Answer answer = [this](InferenceOutcome outcome) {
      if (const auto* refusal = std::get_if<Refusal>(&outcome)) refusals_.push_back(*refusal);
    };
    return queue_->push(request, answer);
  }
  std::vector<std::string> taken() {
    std::vector<std::string> ids;
    for (const auto& pending : queue_->take()) ids.push_back(pending.request.id);
    return ids;
  }
  uint64_t failures(ModelStatistics::Reason reason) const {
    ModelStatistics statistics;
    counters_.read(statistics);
    return statistics.failure[reason];
  }

  std::vector<Refusal> refusals_;
  RequestCounters counters_;
  std::unique_ptr<MemoryBudget> memory_;
  std::unique_ptr<RequestQueue> queue_;
};

using Ids = std::vector<std::string>;

TEST_F(RequestQueueTest, requests_join_in_order_up_to_the_largest_batch) {
  make({.max_batch = 4});
  for (const auto* id : {"a", "b", "c"}) push(request_of(1, 4, id));
  push(request_of(2, 4, "d"));  // would make five rows
  push(request_of(1, 4, "e"));  // mustn't overtake
  EXPECT_EQ(taken(), (Ids{"a", "b", "c"}));
  EXPECT_EQ(taken(), (Ids{"d", "e"}));
}

TEST_F(RequestQueueTest, rows_of_another_shape_begin_a_batch_of_their_own) {
  make({.max_batch = 8});
  push(request_of(1, 4, "a"));
  push(request_of(1, 5, "b"));
  push(request_of(1, 4, "c"));
  EXPECT_EQ(taken(), Ids{"a"});
  EXPECT_EQ(taken(), Ids{"b"});
  EXPECT_EQ(taken(), Ids{"c"});
}

TEST_F(RequestQueueTest, a_request_larger_than_a_batch_is_taken_alone) {
  make({.max_batch = 4});
  push(request_of(9, 4, "large"));
  push(request_of(1, 4, "small"));
  EXPECT_EQ(taken(), Ids{"large"});
  EXPECT_EQ(taken(), Ids{"small"});
}

TEST_F(RequestQueueTest, higher_priorities_are_taken_first) {
  make({.max_batch = 2});
  const auto push_with = [&](const char* id, int64_t priority) {
    auto request = request_of(1, 4, id);
    request.priority = priority;
    push(std::move(request));
  };
  push_with("none", 0);
  push_with("two", 2);
  push_with("one", 1);
  push_with("one again", 1);
  EXPECT_EQ(taken(), (Ids{"one", "one again"}));
  EXPECT_EQ(taken(), (Ids{"two", "none"}));
}

TEST_F(RequestQueueTest, waits_for_company_until_the_batch_is_full) {
  make({.max_batch = 2, .delay_ms = 3600e3, .timeout = 7200.0});  // only a full batch ends the wait
  push(request_of(1, 4, "a"));
  std::thread other([&] { push(request_of(1, 4, "b")); });
  EXPECT_EQ(taken(), (Ids{"a", "b"}));
  other.join();
}

TEST_F(RequestQueueTest, does_not_wait_for_what_can_not_join) {
  make({.max_batch = 8, .delay_ms = 3600e3, .timeout = 7200.0});
  push(request_of(1, 4, "a"));
  std::thread other([&] { push(request_of(1, 5, "b")); });
  EXPECT_EQ(taken(), Ids{"a"});
  other.join();
}

TEST_F(RequestQueueTest, the_oldest_request_waits_no_longer_than_the_delay) {
  make({.max_batch = 8, .delay_ms = 1.0});
  push(request_of(1, 4, "a"));
  const auto batch = queue_->take();
  ASSERT_EQ(batch.size(), 1u);
  EXPECT_GE(PendingRequest::Clock::now() - batch[0].arrival, std::chrono::milliseconds(1));
}

TEST_F(RequestQueueTest, a_request_whose_deadline_has_passed_is_answered_without_being_taken) {
  make({.max_batch = 8});
  auto late = request_of(1, 4, "late");
  late.timeout_us = 1;
  push(std::move(late));
  std::this_thread::sleep_for(std::chrono::microseconds(10));
  push(request_of(1, 4, "in time"));
  EXPECT_EQ(taken(), Ids{"in time"});
  ASSERT_EQ(refusals_.size(), 1u);
  EXPECT_EQ(refusals_[0].status(), 504);
  EXPECT_EQ(memory_->held(), 0);
}

TEST_F(RequestQueueTest, deadlines_pass_while_a_batch_is_computed) {
  make({.max_batch = 8});
  auto late = request_of(1, 4, "late");
  late.timeout_us = 1;
  push(std::move(late));
  push(request_of(1, 4, "in time"));
  std::this_thread::sleep_for(std::chrono::microseconds(10));
  queue_->expire();
  ASSERT_EQ(refusals_.size(), 1u);
  EXPECT_EQ(refusals_[0].status(), 504);
  EXPECT_EQ(queue_->size(), 1u);
}

TEST_F(RequestQueueTest, a_client_can_not_wait_longer_than_the_server_allows) {
  make({.timeout = 1e-6});
  auto patient = request_of(1);
  patient.timeout_us = int64_t{3600} * 1000 * 1000;
  push(std::move(patient));
  std::this_thread::sleep_for(std::chrono::microseconds(10));
  queue_->expire();
  EXPECT_EQ(refusals_.size(), 1u);
}

// Row 57: memory of a given size holds so many images and no more, over all queues.
TEST_F(RequestQueueTest, memory_holds_as_many_images_as_the_capacity_rule_says) {
  constexpr int64_t kImage = 3 * 224 * 224 * 4;
  EXPECT_EQ(kImage, 602'112);
  EXPECT_EQ(rows_that_fit(int64_t{16'000'000'000}, kImage), 26'573);
  EXPECT_EQ(rows_that_fit(int64_t{16} << 30, kImage), 28'532);
  EXPECT_EQ(rows_that_fit(100, 0), 0);

  constexpr int64_t kMemory = 5 * kImage + 100;
  auto& queue = make({.max_batch = 2}, kMemory);
  RequestQueue second({.max_batch = 2}, *memory_, counters_);
  const int64_t fitting = rows_that_fit(kMemory, kImage);
  Backend::Answer ignore = [](const InferenceOutcome&) {};
  auto elsewhere = request_of(1, kImage / 4);
  second.push(elsewhere, ignore);
  for (int64_t i = 1; i < fitting; ++i) push(request_of(1, kImage / 4));
  EXPECT_TRUE(refusals_.empty());
  EXPECT_EQ(memory_->held(), fitting * kImage);

  push(request_of(1, kImage / 4));
  ASSERT_EQ(refusals_.size(), 1u);
  EXPECT_EQ(refusals_[0].status(), 429);
  EXPECT_GE(refusals_[0].retry_after(), 1);
  EXPECT_EQ(failures(ModelStatistics::rejected), 1u);

  queue.take();  // and lets go of two
  push(request_of(2, kImage / 4));
  EXPECT_EQ(refusals_.size(), 1u);
  EXPECT_EQ(memory_->held(), fitting * kImage);
}

TEST_F(RequestQueueTest, a_request_larger_than_the_memory_is_refused_for_good) {
  make({}, 1000);
  push(request_of(1, 1000));
  ASSERT_EQ(refusals_.size(), 1u);
  EXPECT_EQ(refusals_[0].status(), 413);
}

TEST_F(RequestQueueTest, a_full_queue_says_when_to_come_back) {
  auto& queue = make({.max_batch = 1, .max_queue = 7});
  queue.note_rate(2, 1.0);  // two rows a second
  for (int i = 0; i < 8; ++i) push(request_of(1));
  ASSERT_EQ(refusals_.size(), 1u);
  EXPECT_EQ(refusals_[0].status(), 429);
  EXPECT_EQ(refusals_[0].retry_after(), 4);  // 7 / 2, rounded up
}

TEST_F(RequestQueueTest, a_closed_queue_hands_out_what_waits_and_then_ends) {
  auto& queue = make({.max_batch = 8, .delay_ms = 3600e3, .timeout = 7200.0});
  push(request_of(1, 4, "a"));
  queue.close();
  EXPECT_FALSE(push(request_of(1)));
  EXPECT_TRUE(refusals_.empty());  // the caller still has the request
  EXPECT_EQ(taken(), Ids{"a"});
  EXPECT_TRUE(queue.take().empty());
}

TEST_F(RequestQueueTest, what_waits_at_the_end_is_refused) {
  auto& queue = make({});
  push(request_of(1));
  push(request_of(1));
  queue.refuse_waiting();
  ASSERT_EQ(refusals_.size(), 2u);
  EXPECT_EQ(refusals_[0].status(), 503);
  EXPECT_EQ(failures(ModelStatistics::canceled), 2u);
}

TEST_F(RequestQueueTest, no_request_of_many_threads_is_lost_or_taken_twice) {
  constexpr int kThreads = 4;
  constexpr int kEach = 500;
  auto& queue = make({.max_batch = 7, .delay_ms = 0.01});
  std::atomic<int> answered{0};
  std::vector<std::thread> clients;
  for (int t = 0; t < kThreads; ++t) {
    clients.emplace_back([&queue, &answered, t] {
      for (int i = 0; i < kEach; ++i) {
        auto request = request_of(1 + i % 3, 4, std::to_string(t * kEach + i));
        request.priority = i % 2;
        Backend::Answer answer = [&answered](const InferenceOutcome&) { ++answered; };
        EXPECT_TRUE(queue.push(request, answer));
      }
    });
  }
  std::vector<int> times(kThreads * kEach, 0);
  int taken = 0;
  while (taken < kThreads * kEach) {
    auto batch = queue.take();
    int64_t rows = 0;
    for (auto& pending : batch) {
      rows += pending.request.rows();
      ++times[std::stoul(pending.request.id)];
      pending.answer(InferenceResponse{});
      ++taken;
    }
    EXPECT_LE(rows, 7);
  }
  for (auto& client : clients) client.join();
  EXPECT_EQ(times, std::vector<int>(kThreads * kEach, 1));
  EXPECT_EQ(answered, kThreads * kEach);
  EXPECT_EQ(memory_->held(), 0);
}

/// A queue whose thread waits, and a second thread that may take its place.
class SecondTaker : public RequestQueueTest {
 protected:
  void SetUp() override {
    make({.max_batch = 4});
    thread_ = std::thread([this] {
      for (auto batch = queue_->take(); !batch.empty(); batch = queue_->take()) {
        for (const auto& pending : batch) taken_by_thread_.push_back(pending.request.id);
      }
    });
  }
  void TearDown() override {
    queue_->close();
    thread_.join();
  }
  /// Pushes until the thread waits, so that the request is left to the second taker.
  void push_for_second(const std::string& id) {
    bool is_left = false;
    for (int i = 0; !is_left; ++i) {
      auto request = request_of(1, 4, id);
      Backend::Answer answer = [](const InferenceOutcome&) {};
      queue_->push(request, answer, [&] { return is_left = true; });
      if (!is_left) std::this_thread::yield();
    }
  }

  std::vector<std::string> taken_by_thread_;  // read it when the thread has ended
  std::thread thread_;
};

TEST_F(SecondTaker, takes_what_was_left_to_it_and_the_thread_doesnt) {
  push_for_second("a");
  const auto batch = queue_->take_waiting(1);
  ASSERT_EQ(batch.size(), 1U);
  EXPECT_EQ(batch.front().request.id, "a");
  queue_->close();
  thread_.join();
  thread_ = std::thread([] {});
  for (const auto& id : taken_by_thread_) EXPECT_EQ(id, "a") << "one that found it awake";
  EXPECT_EQ(queue_->size(), 0U);
}

TEST_F(SecondTaker, leaves_more_than_it_may_take_to_the_thread) {
  push_for_second("a");
  push(request_of(1, 4, "b"));
  EXPECT_TRUE(queue_->take_waiting(1).empty());
  queue_->close();
  thread_.join();
  thread_ = std::thread([] {});
  ASSERT_GE(taken_by_thread_.size(), 2U);
  EXPECT_EQ(taken_by_thread_.back(), "b");
}

TEST_F(SecondTaker, that_never_comes_loses_no_request) {
  push_for_second("a");
  queue_->wake();
  queue_->close();
  thread_.join();
  thread_ = std::thread([] {});
  EXPECT_FALSE(taken_by_thread_.empty());
  EXPECT_EQ(queue_->size(), 0U);
}

}  // namespace levin::request_queue_test
