#pragma once

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <atomic>
#include <cstdlib>
#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <levin/framework/launch/cluster.h>

namespace levin::test {

/// Runs `work` as each of `world_size` ranks, a thread each, which meet at a store of the test's.
/// Returns what each threw, "" where it returned.
inline std::vector<std::string> run_ranks(int64_t world_size,
                                          const std::function<void(const Cluster&)>& work) {
  static const auto store = [] {
    // LibTorch's flight recorder, one for the process, takes no lock where a group is new to it.
    ::setenv("TORCH_FR_BUFFER_SIZE", "0", 1);
    c10d::TCPStoreOptions options;
    options.port = 0;  // the system's choice
    options.isServer = true;
    options.waitWorkers = false;
    return c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
  }();
  static std::atomic<int> runs{0};
  const std::string run_id = "threads-" + std::to_string(runs++);
  std::vector<std::string> thrown(static_cast<size_t>(world_size));
  std::vector<std::thread> threads;
  const int threads_before = at::get_num_threads();
  at::set_num_threads(1);  // a rank; more would only wait for each other
  for (int64_t rank = 0; rank < world_size; ++rank) {
    threads.emplace_back([&, rank] {
      at::set_num_threads(1);
      Cluster cluster;
      cluster.rank = cluster.local_rank = rank;
      cluster.world_size = cluster.local_world_size = world_size;
      cluster.master_address = "127.0.0.1";
      cluster.master_port = store->getPort();
      cluster.launcher_serves_store = true;
      cluster.run_id = run_id;
      try {
        work(cluster);
      } catch (const std::exception& error) {
        thrown[static_cast<size_t>(rank)] = error.what();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  at::set_num_threads(threads_before);
  return thrown;
}

/// The same where no rank may fail.
inline void as_ranks(int64_t world_size, const std::function<void(const Cluster&)>& work) {
  const auto thrown = run_ranks(world_size, work);
  for (size_t rank = 0; rank < thrown.size(); ++rank) {
    EXPECT_EQ(thrown[rank], "") << "rank " << rank << " of " << world_size;
  }
}

}  // namespace levin::test
