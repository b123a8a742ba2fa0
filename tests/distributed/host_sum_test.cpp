#include <levin/framework/collectives/host_sum.h>

#include <gtest/gtest.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "framework/eventually.h"

#include <levin/framework/collectives/host_memory.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

// Sums through memory, without LibTorch: ranks are threads that share a block, so that the tsan
// preset sees them, or processes that share a HostMemory.

namespace levin::host_sum_test {

namespace fs = std::filesystem;
using Type = HostSum::Type;

std::shared_ptr<std::byte> block(size_t bytes) {
  auto* data = static_cast<std::byte*>(std::aligned_alloc(4096, bytes));
  std::memset(data, 0, bytes);
  return {data, [](std::byte* own) { std::free(own); }};
}

using Work = std::function<void(HostSum&, int64_t rank)>;

/// Runs `work` as each rank, a thread; returns what each threw, "" where it returned.
std::vector<std::string> run_ranks(int64_t world_size, HostSumOptions options, const Work& work) {
  const auto memory = block(HostSum::memory_size(world_size, options.bytes));
  std::vector<std::string> thrown(static_cast<size_t>(world_size));
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < world_size; ++rank) {
    options.rank = rank;
    options.world_size = world_size;
    threads.emplace_back([&work, &thrown, memory, options, rank] {
      HostSum sum(memory, options);
      try {
        work(sum, rank);
      } catch (const DistributedError& error) {
        thrown[static_cast<size_t>(rank)] = error.what();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  return thrown;
}

void expect_no_error(const std::vector<std::string>& thrown) {
  for (const auto& one : thrown) EXPECT_EQ(one, "");
}

/// A value that tells its round, piece, place and rank.
template <class T>
T value(int round, size_t piece, size_t i, int64_t rank) {
  const auto mixed = static_cast<size_t>(round) * 31 + piece * 7 + i * 3;
  return static_cast<T>(mixed % 1009 + 1) * static_cast<T>(rank + 1);
}

template <class T>
void give(HostSum& sum, int round, size_t piece, size_t count, int64_t rank) {
  auto* place = reinterpret_cast<T*>(sum.place(count * sizeof(T)));
  ASSERT_NE(place, nullptr);
  for (size_t i = 0; i < count; ++i) place[i] = value<T>(round, piece, i, rank);
  sum.give(count * sizeof(T), sizeof(T) == 4 ? Type::float32 : Type::float64);
}

/// How many of the sums are wrong.
template <class T>
size_t wrong(const HostSum& sum, int round, size_t piece, size_t count, int64_t world_size) {
  const auto* sums = reinterpret_cast<const T*>(sum.sums(piece));
  size_t errors = 0;
  for (size_t i = 0; i < count; ++i) {
    T expected = 0;  // whole numbers: exact
    for (int64_t rank = 0; rank < world_size; ++rank) expected += value<T>(round, piece, i, rank);
    errors += sums[i] == expected ? 0 : 1;
  }
  return errors;
}

void nap(std::mt19937& random, int one_in, int most_us) {
  if (random() % static_cast<unsigned>(one_in) != 0) return;
  std::this_thread::sleep_for(std::chrono::microseconds(random() % static_cast<unsigned>(most_us)));
}

/// Rounds of pieces of floats and doubles in turn; ranks are late at random.
void run_rounds(HostSum& sum, int64_t rank, int64_t world_size, const std::vector<size_t>& counts,
                int rounds, int one_in) {
  std::mt19937 random(static_cast<unsigned>(rank * 1000 + world_size));
  for (int round = 0; round < rounds; ++round) {
    for (size_t piece = 0; piece < counts.size(); ++piece) {
      nap(random, one_in, 100);
      if (piece % 2 == 0) {
        give<float>(sum, round, piece, counts[piece], rank);
      } else {
        give<double>(sum, round, piece, counts[piece], rank);
      }
    }
    nap(random, one_in, 100);
    sum.sum();
    nap(random, one_in, 100);  // here the others must not touch the sums yet
    size_t errors = 0;
    for (size_t piece = 0; piece < counts.size(); ++piece) {
      errors += piece % 2 == 0 ? wrong<float>(sum, round, piece, counts[piece], world_size)
                               : wrong<double>(sum, round, piece, counts[piece], world_size);
    }
    ASSERT_EQ(errors, 0U) << "rank " << rank << " of " << world_size << ", round " << round;
  }
}

size_t bytes_of(const std::vector<size_t>& counts) {
  size_t bytes = 0;
  for (size_t i = 0; i < counts.size(); ++i) bytes += HostSum::padded(counts[i] * (i % 2 ? 8 : 4));
  return bytes;
}

TEST(HostSum, adds_up_pieces_of_any_size_over_one_to_four_ranks) {
  for (int64_t ranks = 1; ranks <= 4; ++ranks) {
    for (const auto& counts : std::vector<std::vector<size_t>>{
             {1}, {16}, {17, 1, 3}, {1000, 7, 16, 8, 5000}, {40001, 33333}}) {
      expect_no_error(run_ranks(ranks, {.bytes = bytes_of(counts)}, [&](HostSum& sum, int64_t r) {
        run_rounds(sum, r, ranks, counts, 5, 1000);
      }));
    }
  }
}

TEST(HostSum, thousands_of_rounds_with_late_ranks_mix_nothing_up) {
  const std::vector<size_t> counts = {70, 9, 300};
  for (int64_t ranks = 2; ranks <= 4; ++ranks) {
    expect_no_error(run_ranks(ranks, {.bytes = bytes_of(counts)}, [&](HostSum& sum, int64_t r) {
      run_rounds(sum, r, ranks, counts, 1500, 50);
    }));
  }
}

TEST(HostSum, rounds_may_differ_in_their_pieces) {
  expect_no_error(run_ranks(3, {.bytes = 4096}, [](HostSum& sum, int64_t rank) {
    for (int round = 0; round < 300; ++round) {
      const size_t pieces = static_cast<size_t>(round) % 4;
      for (size_t i = 0; i < pieces; ++i) give<double>(sum, round, i, i * 40 + 1, rank);
      sum.sum();
      for (size_t i = 0; i < pieces; ++i) {
        ASSERT_EQ(wrong<double>(sum, round, i, i * 40 + 1, 3), 0U) << round;
      }
    }
  }));
}

TEST(HostSum, has_the_same_bits_on_all_ranks_and_in_any_pieces) {
  constexpr size_t kCount = 1024;
  std::vector<std::vector<float>> results(8);
  for (size_t run = 0; run < 2; ++run) {
    const size_t piece = run == 0 ? kCount : 64;
    expect_no_error(run_ranks(4, {.bytes = kCount * 4}, [&](HostSum& sum, int64_t rank) {
      std::mt19937 random(static_cast<unsigned>(rank));
      std::normal_distribution<float> normal;
      for (size_t begin = 0; begin < kCount; begin += piece) {
        auto* place = reinterpret_cast<float*>(sum.place(piece * 4));
        for (size_t i = 0; i < piece; ++i) place[i] = normal(random);
        sum.give(piece * 4, Type::float32);
      }
      sum.sum();
      const auto* all = reinterpret_cast<const float*>(sum.sums(0));
      results[run * 4 + static_cast<size_t>(rank)].assign(all, all + kCount);
    }));
  }
  for (const auto& result : results) EXPECT_EQ(result, results[0]);
}

TEST(HostSum, has_no_place_for_more_than_it_was_made_for) {
  expect_no_error(run_ranks(1, {.bytes = 128}, [](HostSum& sum, int64_t) {
    EXPECT_EQ(sum.place(129), nullptr);
    give<float>(sum, 0, 0, 17, 0);
    EXPECT_EQ(sum.place(1), nullptr);
    sum.sum();
    EXPECT_NE(sum.place(128), nullptr);
  }));
}

TEST(HostSum, names_a_rank_that_does_not_come_in_time) {
  std::atomic<bool> is_over{false};
  const auto thrown = run_ranks(3, {.bytes = 64, .timeout = 1.0}, [&](HostSum& sum, int64_t rank) {
    if (rank == 1) {
      while (!is_over) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      return;
    }
    give<float>(sum, 0, 0, 3, rank);
    const double start = files::monotonic_seconds();
    try {
      sum.sum();
    } catch (...) {
      if (rank == 0) {
        EXPECT_GE(files::monotonic_seconds() - start, 1.0);
        is_over = true;
      }
      throw;
    }
  });
  EXPECT_NE(thrown[0].find("rank 0: no gradients of rank 1 in "), std::string::npos) << thrown[0];
  EXPECT_EQ(thrown[1], "");
  EXPECT_NE(thrown[2].find("rank 2: "), std::string::npos) << thrown[2];
}

TEST(HostSum, finds_out_that_a_rank_has_left) {
  const auto thrown = run_ranks(2, {.bytes = 64}, [](HostSum& sum, int64_t rank) {
    give<float>(sum, 0, 0, 3, rank);
    sum.sum();
    if (rank == 1) return;
    EXPECT_EQ(wrong<float>(sum, 0, 0, 3, 2), 0U);
    give<float>(sum, 1, 0, 3, rank);
    sum.sum();
  });
  EXPECT_NE(thrown[0].find("rank 1 has left"), std::string::npos) << thrown[0];
  EXPECT_EQ(thrown[1], "");
}

/// Rank 2 neither gives anything nor leaves until the waits of the others have ended.
TEST(HostSum, stops_waiting_when_it_is_aborted_and_so_do_the_others) {
  std::atomic<bool> aborted{false};
  std::atomic<int> asked{0};
  std::atomic<int> ended{0};
  const auto is_aborted = [&] {
    ++asked;
    return aborted.load();
  };
  const auto thrown =
      run_ranks(3, {.bytes = 64, .is_aborted = is_aborted}, [&](HostSum& sum, int64_t rank) {
        if (rank == 2) {
          EXPECT_TRUE(test::eventually([&] { return asked > 0; })) << "nobody waits";
          EXPECT_EQ(ended, 0);
          aborted = true;
          EXPECT_TRUE(test::eventually([&] { return ended == 2; })) << "the waits go on";
          return;
        }
        give<float>(sum, 0, 0, 3, rank);
        try {
          sum.sum();
        } catch (...) {
          ++ended;
          throw;
        }
      });
  EXPECT_NE(thrown[0].find("aborted"), std::string::npos) << thrown[0];
  EXPECT_NE(thrown[1].find("rank 1: "), std::string::npos) << thrown[1];
}

// --- processes ---

TEST(HostMemory, is_the_same_for_who_opens_it_and_private_to_who_knows_its_name) {
  auto own = HostMemory::create(10000);
  ASSERT_NE(own.data(), nullptr);
  const auto other = HostMemory::open(own.address(), 10000);
  ASSERT_NE(other.data(), nullptr);
  EXPECT_NE(other.data(), own.data());
  own.data().get()[9999] = std::byte{7};
  EXPECT_EQ(other.data().get()[9999], std::byte{7});
  EXPECT_EQ(other.data().get()[0], std::byte{0});
  EXPECT_EQ(HostMemory::open(own.address(), 10001).data(), nullptr);
  EXPECT_EQ(HostMemory::open(own.address() + "0", 10000).data(), nullptr);
  EXPECT_EQ(HostMemory::open("/proc/self/fd/0 levin-0", 10000).data(), nullptr);
  EXPECT_EQ(HostMemory::open("", 10000).data(), nullptr);
  own.close();
  EXPECT_EQ(HostMemory::open(own.address(), 10000).data(), nullptr);
  EXPECT_EQ(other.data().get()[9999], std::byte{7});
}

TEST(HostMemory, is_nothing_where_there_is_not_enough) {
  EXPECT_EQ(HostMemory::create(size_t{1} << 50).data(), nullptr);
  EXPECT_EQ(HostMemory::create(0).data(), nullptr);
}

pid_t start_rank(const HostSumOptions& options, const HostMemory& memory, int rounds) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  int status = 0;
  try {
    // As a program that was started by itself would: from the address.
    const size_t bytes = HostSum::memory_size(options.world_size, options.bytes);
    HostSum sum(HostMemory::open(memory.address(), bytes).data(), options);
    run_rounds(sum, options.rank, options.world_size, {options.bytes / 8}, rounds, 1000);
    status = ::testing::Test::HasFailure() ? 1 : 0;
  } catch (const DistributedError&) {
    status = 2;
  }
  ::_exit(status);
}

int status_of(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// Who maps or opens memory of that name.
int users_of(const std::string& name) {
  int users = 0;
  std::error_code error;
  for (const auto& process : fs::directory_iterator("/proc", error)) {
    std::string maps;
    try {
      maps = files::read_text(process.path() / "maps");
    } catch (const std::exception&) {
      continue;
    }
    if (maps.find(name) != maps.npos) ++users;
  }
  return users;
}

TEST(HostSum, adds_up_over_processes) {
  const HostSumOptions options{.world_size = 3, .bytes = 8000};
  const auto memory = HostMemory::create(HostSum::memory_size(3, options.bytes));
  std::vector<pid_t> children;
  for (int64_t rank = 0; rank < 3; ++rank) {
    auto own = options;
    own.rank = rank;
    children.push_back(start_rank(own, memory, 500));
  }
  for (const pid_t child : children) EXPECT_EQ(status_of(child), 0);
}

/// Whether the system's shared memory has a file of that name. Programs that run at the same time
/// add others.
bool is_in_shared_memory(const std::string& name) {
  std::error_code error;
  for (const auto& file : fs::directory_iterator("/dev/shm", error)) {
    if (file.path().filename().string().find(name) != name.npos) return true;
  }
  return false;
}

TEST(HostSum, leaves_no_memory_behind_when_a_rank_is_killed) {
  std::string name;
  {
    const HostSumOptions options{.world_size = 2, .bytes = 80000};
    auto memory = HostMemory::create(HostSum::memory_size(2, options.bytes));
    name = memory.address().substr(memory.address().find(' ') + 1);
    auto own = options;
    own.rank = 1;  // it waits until it is killed
    const pid_t killed = start_rank(own, memory, 1 << 30);
    own.rank = 0;
    own.timeout = 1.0;
    const pid_t left = start_rank(own, memory, 1 << 30);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_GE(users_of(name), 1);
    EXPECT_FALSE(is_in_shared_memory(name));
    ::kill(killed, SIGKILL);
    EXPECT_EQ(status_of(killed), 128 + SIGKILL);
    EXPECT_EQ(status_of(left), 2);  // it threw
  }
  EXPECT_EQ(users_of(name), 0);
  EXPECT_FALSE(is_in_shared_memory(name));
}

}  // namespace levin::host_sum_test
