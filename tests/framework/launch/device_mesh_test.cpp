#include <levin/framework/launch/device_mesh.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "framework/message_of.h"

#include <levin/framework/core/error.h>

namespace levin::test::device_mesh_test {

using Ranks = std::vector<int64_t>;

/// `ranks` ranks on hosts of `per_host`, in their order.
std::vector<std::string> hosts_of(int64_t ranks, int64_t per_host) {
  std::vector<std::string> hosts;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    hosts.push_back("node" + std::to_string(rank / per_host));
  }
  return hosts;
}

// Row 50: 32 workers = 4 pipeline x 4 model x 2 data on 8 nodes of 4.
TEST(DeviceMesh, puts_each_tensor_group_of_32_ranks_on_a_host_of_4) {
  const auto mesh = DeviceMesh::of(32, {.pipeline = 4, .tensor = 4});
  EXPECT_EQ(mesh.sizes().data, 2);
  EXPECT_EQ(mesh.world_size(), 32);
  EXPECT_EQ(mesh.place_of(29), (MeshPlace{.pipeline = 3, .data = 1, .tensor = 1}));
  EXPECT_EQ(mesh.group_of(MeshAxis::tensor, 5), (Ranks{4, 5, 6, 7}));
  EXPECT_EQ(mesh.group_of(MeshAxis::data, 5), (Ranks{1, 5}));
  EXPECT_EQ(mesh.group_of(MeshAxis::pipeline, 5), (Ranks{5, 13, 21, 29}));
  EXPECT_EQ(mesh.replica_of(5),
            (Ranks{4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31}));
  EXPECT_EQ(mesh.warning(hosts_of(32, 4)), "");
  EXPECT_EQ(mesh.table(hosts_of(32, 4)),
            "pipeline  data  ranks  host\n"
            "       0     0    0-3  node0\n"
            "       0     1    4-7  node1\n"
            "       1     0   8-11  node2\n"
            "       1     1  12-15  node3\n"
            "       2     0  16-19  node4\n"
            "       2     1  20-23  node5\n"
            "       3     0  24-27  node6\n"
            "       3     1  28-31  node7\n");
}

TEST(DeviceMesh, warns_of_a_tensor_group_on_several_hosts) {
  const auto mesh = DeviceMesh::of(8, {.tensor = 4});
  EXPECT_EQ(mesh.warning(hosts_of(8, 8)), "");
  EXPECT_TRUE(says(mesh.warning(hosts_of(8, 2)),
                   {"ranks 0-3", "node0 (ranks 0-1), node1 (ranks 2-3)", "tensor_size"}));
  EXPECT_TRUE(says(mesh.warning({"a", "a", "a", "a", "b", "b", "b", "c"}),
                   {"ranks 4-7", "b (ranks 4-6), c (rank 7)"}));
  EXPECT_TRUE(says(mesh.table({"a", "b", "a", "b", "a", "b", "a", "b"}),
                   {"0-3  a (ranks 0, 2), b (ranks 1, 3)"}));
}

TEST(DeviceMesh, puts_every_rank_into_one_group_along_each_axis) {
  const DeviceMesh mesh({.pipeline = 3, .data = 2, .tensor = 5});
  for (int64_t rank = 0; rank < 30; ++rank) {
    EXPECT_EQ(mesh.rank_at(mesh.place_of(rank)), rank);
  }
  for (const auto axis : {MeshAxis::pipeline, MeshAxis::data, MeshAxis::tensor}) {
    std::multiset<int64_t> seen;
    for (const auto& group : mesh.groups(axis)) {
      EXPECT_EQ(static_cast<int64_t>(group.size()), mesh.size(axis)) << name_of(axis);
      EXPECT_TRUE(std::is_sorted(group.begin(), group.end()));
      for (const int64_t rank : group) EXPECT_EQ(mesh.group_of(axis, rank), group);
      seen.insert(group.begin(), group.end());
    }
    EXPECT_EQ(seen.size(), 30U) << name_of(axis);
    EXPECT_EQ((std::set<int64_t>(seen.begin(), seen.end()).size()), 30U) << name_of(axis);
  }
}

TEST(DeviceMesh, is_one_rank_by_default) {
  EXPECT_EQ(DeviceMesh().world_size(), 1);
  EXPECT_EQ(DeviceMesh().group_of(MeshAxis::data, 0), (Ranks{0}));
  EXPECT_EQ(DeviceMesh().table({"here"}),
            "pipeline  data  ranks  host\n"
            "       0     0      0  here\n");
}

TEST(DeviceMesh, refuses_sizes_that_dont_fit_the_ranks) {
  const auto refusal = [](int64_t ranks, MeshSizes sizes) {
    return message_of<ConfigError>([&] { DeviceMesh::of(ranks, sizes); });
  };
  EXPECT_TRUE(says(refusal(6, {.tensor = 4}), {"tensor_size = 4 with 6 ranks", "multiple of 4"}));
  EXPECT_TRUE(says(refusal(1, {.tensor = 2}), {"tensor_size = 2 with 1 rank", "multiple of 2"}));
  EXPECT_TRUE(says(refusal(12, {.pipeline = 4, .tensor = 2}),
                   {"pipeline_size * tensor_size = 4 * 2 = 8 with 12 ranks"}));
  EXPECT_TRUE(says(refusal(4, {.tensor = 0}), {"tensor_size", "0", "at least 1"}));
  EXPECT_TRUE(says(refusal(4, {.pipeline = -1}), {"pipeline_size", "-1"}));
  EXPECT_THROW(DeviceMesh({.data = 0}), ConfigError);
  EXPECT_THROW(DeviceMesh().table({"a", "b"}), ConfigError);
  EXPECT_THROW(DeviceMesh().warning({}), ConfigError);
}

}  // namespace levin::test::device_mesh_test
