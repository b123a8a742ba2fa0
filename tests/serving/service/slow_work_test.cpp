#include <levin/serving/service/slow_work.h>

#include <future>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace levin::slow_work_test {

TEST(SlowWork, runs_one_after_another_on_another_thread) {
  SlowWork work;
  std::vector<int> order;
  std::promise<std::thread::id> last;
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(work.run([&order, &last, i] {
      order.push_back(i);
      if (i == 4) last.set_value(std::this_thread::get_id());
    }));
  }
  EXPECT_NE(last.get_future().get(), std::this_thread::get_id());
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST(SlowWork, takes_no_more_than_sixteen_and_leaves_them_when_it_ends) {
  std::promise<void> may_go;
  std::promise<void> has_begun;
  const auto go = may_go.get_future().share();
  int runs = 0;
  auto work = std::make_unique<SlowWork>();
  EXPECT_TRUE(work->run([&] {
    has_begun.set_value();
    go.wait();
    ++runs;
  }));
  has_begun.get_future().wait();
  for (int i = 0; i < 16; ++i) EXPECT_TRUE(work->run([&] { ++runs; }));
  EXPECT_FALSE(work->run([&] { ++runs; }));
  std::thread ending([&] { work.reset(); });
  may_go.set_value();
  ending.join();
  EXPECT_GE(runs, 1);
  EXPECT_LE(runs, 17);
}

}  // namespace levin::slow_work_test
