#include <gtest/gtest.h>
#include <levin/framework/parameter_server/parameter_server.h>
#include <levin/framework/parameter_server/server_wire.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "framework/eventually.h"
#include "framework/parameter_server/server_stranger.h"

namespace levin::server_wire_test {
namespace {

using Kind = ServerRequest::Kind;
using test::adding;
using test::eventually;
using test::Numbers;
using test::Stranger;

template <class T>
std::string bytes_of(const T& head) {
  std::string bytes(sizeof(head), '\0');
  std::memcpy(bytes.data(), &head, sizeof(head));
  return bytes;
}

TEST(ServerWire, heads_that_ask_for_too_much_are_refused_before_they_are_read_on) {
  ServerDescription server{.type = 8, .workers = 2, .servers = 1, .rows = 10, .width = 1};
  const auto accepts = [&](Kind kind, int64_t count, bool is_known, int64_t first = 0,
                           int64_t is_list = 0) {
    const ServerRequest request{
        .kind = kind, .worker = 1, .is_list = is_list, .first = first, .count = count};
    return is_valid(request, server, is_known);
  };
  EXPECT_TRUE(accepts(Kind::hello, 64, false));
  EXPECT_FALSE(accepts(Kind::hello, 65, false));
  EXPECT_FALSE(accepts(Kind::hello, -1, false));
  EXPECT_FALSE(accepts(Kind::hello, 6, true)) << "a second hello";
  for (const Kind kind : {Kind::push, Kind::stage, Kind::pull}) {
    server.servers = kind == Kind::stage ? 2 : 1;
    EXPECT_TRUE(accepts(kind, 10, true));
    EXPECT_TRUE(accepts(kind, 4, true, 6));
    EXPECT_TRUE(accepts(kind, 10, true, 0, 1));
    EXPECT_FALSE(accepts(kind, 10, false)) << "before the hello";
    for (const int64_t count : {int64_t{11}, int64_t{-1}, INT64_MAX, INT64_MIN}) {
      EXPECT_FALSE(accepts(kind, count, true)) << count;
      EXPECT_FALSE(accepts(kind, count, true, 0, 1)) << count;
    }
    for (const int64_t first : {int64_t{7}, int64_t{-1}, INT64_MAX, INT64_MIN}) {
      EXPECT_FALSE(accepts(kind, 4, true, first)) << first;
    }
    EXPECT_FALSE(accepts(kind, 4, true, 1, 1)) << "a list has no first row";
    EXPECT_FALSE(accepts(kind, 4, true, 0, 2));
  }
  server.servers = 1;
  EXPECT_FALSE(accepts(Kind::stage, 1, true));
  EXPECT_FALSE(accepts(Kind::commit, 0, true));
  server.servers = 2;
  EXPECT_FALSE(accepts(Kind::push, 1, true));
  EXPECT_TRUE(accepts(Kind::commit, 0, true));
  EXPECT_FALSE(accepts(Kind::commit, 1, true));
  EXPECT_TRUE(accepts(Kind::report, 0, true, -2));
  EXPECT_TRUE(accepts(Kind::report, 0, true, 2));
  for (const int64_t status : {int64_t{0}, int64_t{3}, int64_t{-3}, INT64_MIN, INT64_MAX}) {
    EXPECT_FALSE(accepts(Kind::report, 0, true, status)) << status;
  }
  EXPECT_FALSE(accepts(Kind::leave, 1, true));
  EXPECT_FALSE(accepts(static_cast<Kind>(8), 0, true));
  EXPECT_FALSE(is_valid({.worker = 2, .count = 1}, server, false));
  EXPECT_FALSE(is_valid({.worker = -1, .count = 1}, server, false));
  EXPECT_FALSE(is_valid({.magic = 1, .worker = 1, .count = 1}, server, false));
  for (const double weight : {-1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    EXPECT_FALSE(is_valid({.count = 1, .weight = weight}, server, false)) << weight;
  }
  EXPECT_FALSE(is_valid({.count = 1, .flags = {0.0, std::nan("")}}, server, false));
  server.server = 1;
  EXPECT_FALSE(accepts(Kind::commit, 0, true)) << "only the first server commits";
}

TEST(ServerWire, descriptions_that_no_table_has_are_refused) {
  const ServerDescription good{
      .type = 4, .workers = 2, .server = 1, .servers = 2, .rows = 10, .width = 3};
  EXPECT_TRUE(is_valid(good));
  const auto with = [&](int64_t ServerDescription::*field, int64_t value) {
    auto changed = good;
    changed.*field = value;
    return is_valid(changed);
  };
  EXPECT_FALSE(with(&ServerDescription::type, 2));
  EXPECT_FALSE(with(&ServerDescription::workers, 0));
  EXPECT_FALSE(with(&ServerDescription::workers, INT64_MAX)) << "clocks are allocated for them";
  EXPECT_FALSE(with(&ServerDescription::server, 2));
  EXPECT_FALSE(with(&ServerDescription::server, -1));
  EXPECT_FALSE(with(&ServerDescription::rows, -1));
  EXPECT_FALSE(with(&ServerDescription::rows, INT64_MAX));
  EXPECT_FALSE(with(&ServerDescription::width, INT64_MAX));
  EXPECT_FALSE(with(&ServerDescription::width, 0));
}

TEST(ServerWire, bytes_of_strangers_do_no_harm) {
  ParameterServer server({.workers = 1, .rows = 4, .token = "secret"}, Numbers(4), adding());
  std::mt19937 random(7);
  const ServerRequest hello{.count = 6};
  const std::string good = bytes_of(hello) + "Secret";  // never the right token
  for (int turn = 0; turn < 200; ++turn) {
    std::string bytes = good;
    if (turn % 3 == 0) {
      bytes.assign(random() % 400, '\0');
      for (char& byte : bytes) byte = static_cast<char>(random());
    } else {
      for (int i = 0; i < 3; ++i) bytes[random() % sizeof(hello)] = static_cast<char>(random());
    }
    Stranger stranger(server.port());
    stranger.send(bytes);
    ASSERT_TRUE(stranger.is_refused()) << turn;
  }
  EXPECT_FALSE(server.failed_worker());
  ParameterClient client(server.port(), 0, "secret");
  Numbers w(4);
  client.push(Numbers(4, 1.0));
  client.pull(w);
  EXPECT_EQ(w, Numbers(4, 1.0));
}

/// A request of a worker of 2 at the second of two servers with 4 rows: its head, and what follows.
std::string random_request(std::mt19937& random) {
  const Kind kind = random() % 2 == 0 ? Kind::stage : Kind::pull;
  const bool is_list = random() % 2 == 0;
  ServerRequest request{.kind = kind, .is_list = is_list ? 1 : 0, .count = 2};
  std::string bytes = bytes_of(request) + std::string(2 * sizeof(int64_t), '\0');  // clocks
  if (is_list) bytes += bytes_of(std::array<int64_t, 2>{1, 3});
  if (kind == Kind::stage) bytes += bytes_of(std::array<double, 2>{5.0, 5.0});
  return bytes;
}

TEST(ServerWire, mutated_and_truncated_messages_of_a_worker_leave_only_whole_gradients) {
  std::mt19937 random(11);
  for (int turn = 0; turn < 150; ++turn) {
    ParameterServer server({.workers = 2,
                            .rows = 4,
                            .token = "t",
                            .server = 1,
                            .servers = 2,
                            .on_lost_worker = ParameterServerOptions::OnLostWorker::leave_out},
                           Numbers(4), adding());
    {
      Stranger worker(server.port());
      worker.join(0, "t");
      worker.send(random_request(random));
      std::string bytes = random_request(random);
      if (turn % 3 != 0) bytes.resize(random() % bytes.size());
      if (turn % 3 != 1 && !bytes.empty()) {
        // In the head, the clocks or the rows, but not in the values, which may be anything.
        const size_t most = std::min(bytes.size(), sizeof(ServerRequest) + 4 * sizeof(int64_t));
        for (int i = 0; i < 2; ++i) bytes[random() % most] = static_cast<char>(random());
      }
      worker.send(bytes);
    }
    // What was staged hasn't been committed on the first server, so that it never counts.
    ASSERT_TRUE(eventually([&] { return server.failed_worker() == 0; })) << turn;
    ASSERT_EQ(server.values(), Numbers(4)) << turn;
  }
}

TEST(ServerWire, a_worker_that_claims_what_it_cannot_know_is_lost) {
  ParameterServer server({.workers = 2, .rows = 1, .token = "t", .server = 1, .servers = 2},
                         Numbers(1), adding());
  Stranger worker(server.port());
  worker.join(0, "t");
  worker.send({.kind = Kind::pull, .count = 1});
  worker.send(bytes_of(std::array<int64_t, 2>{0, 1}));  // nobody has staged a gradient
  EXPECT_TRUE(eventually([&] { return server.failed_worker() == 0; }));
}

TEST(ServerWire, a_worker_that_sends_rows_that_do_not_ascend_is_lost) {
  using Rows = std::array<int64_t, 2>;
  for (const Rows& rows : {Rows{2, 1}, Rows{1, 1}, Rows{-1, 0}, Rows{0, 4}, Rows{0, INT64_MAX}}) {
    ParameterServer server({.workers = 1, .rows = 4, .token = "t"}, Numbers(4), adding());
    Stranger worker(server.port());
    worker.join(0, "t");
    worker.send({.kind = Kind::push, .is_list = 1, .count = 2});
    worker.send(bytes_of(rows));
    EXPECT_TRUE(eventually([&] { return server.failed_worker() == 0; }));
    EXPECT_EQ(server.values(), Numbers(4));
  }
}

}  // namespace
}  // namespace levin::server_wire_test
