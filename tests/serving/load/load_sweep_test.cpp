#include <levin/serving/load/load_sweep.h>

#include <atomic>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <levin/framework/core/error.h>
#include <levin/serving/load/latency_plot.h>

#include "serving/load/fake_server.h"

namespace levin::load_sweep_test {

using test::FakeServer;

const std::string kRequest = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++count;
  return count;
}

/// The names of elements that are opened and not closed in their order; empty if `svg` is well
/// formed.
std::vector<std::string> left_open(const std::string& svg) {
  std::vector<std::string> open;
  for (size_t at = 0; (at = svg.find('<', at)) != std::string::npos; ++at) {
    const size_t end = svg.find('>', at);
    if (end == std::string::npos) return {"a tag without an end"};
    const std::string tag = svg.substr(at + 1, end - at - 1);
    if (count_of(tag, "\"") % 2 != 0) return {"quotes in " + tag};
    const std::string name = tag.substr(0, tag.find_first_of(" /", 1));
    if (tag.starts_with('/')) {
      if (open.empty() || "/" + open.back() != tag) return {tag};
      open.pop_back();
    } else if (!tag.ends_with('/')) {
      open.push_back(name);
    }
  }
  return open;
}

LoadStep step(double rate, double milliseconds) {
  LoadStep result{.rate = rate, .connections = 8};
  for (int i = 1; i <= 100; ++i) {
    result.result.latency.add(static_cast<int64_t>(milliseconds * 1e4 * i));
  }
  result.result.answered = result.result.requests = 100;
  return result;
}

TEST(LoadSweep, measures_the_maximum_and_then_equal_parts_of_it) {
  FakeServer server([](const std::string&) { return FakeServer::response(200, "{}"); });
  const LoadTarget target(parse_server_address(server.url()), "", false);
  std::vector<double> reported;
  const LoadPlan plan{
      .requests = {kRequest}, .connections = 4, .warmup = 0.0, .seconds = 0.1, .timeout = 60.0};
  const LoadSweep sweep =
      run_sweep(target, plan, 4, {}, [&](const LoadStep& each) { reported.push_back(each.rate); });
  const double most = sweep.maximum.result.throughput;
  EXPECT_GT(most, 0.0);
  ASSERT_EQ(sweep.steps.size(), 4U);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_DOUBLE_EQ(sweep.steps[i].rate, most * static_cast<double>(i + 1) / 4.0);
    EXPECT_EQ(sweep.steps[i].result.requests, sweep.steps[i].result.answered);
  }
  EXPECT_EQ(reported.size(), 5U);
  EXPECT_EQ(sweep.all().size(), 5U);
  EXPECT_EQ(count_of(load_csv(sweep.all()), "\n"), 6U);
}

TEST(LoadSweep, ends_with_what_it_has_when_it_is_stopped) {
  std::atomic<int64_t> answered{0};
  FakeServer server([&](const std::string&) {
    ++answered;
    return FakeServer::response(200, "{}");
  });
  const LoadTarget target(parse_server_address(server.url()), "", false);
  const LoadPlan plan{.requests = {kRequest}, .warmup = 0.0, .seconds = 3600.0};
  const LoadSweep sweep = run_sweep(target, plan, 10, [&] { return answered >= 10; }, {});
  EXPECT_TRUE(sweep.maximum.result.is_interrupted);
  EXPECT_GT(sweep.maximum.result.answered, 0);
  EXPECT_TRUE(sweep.steps.empty());
  EXPECT_NE(load_remarks(sweep.all()).find("stopped before the end"), std::string::npos);
}

TEST(LoadSweep, a_server_that_answers_nothing_has_no_maximum) {
  FakeServer server([](const std::string&) { return FakeServer::response(500, "{}"); });
  const LoadTarget target(parse_server_address(server.url()), "", false);
  const LoadPlan plan{.requests = {kRequest}, .warmup = 0.0, .seconds = 0.05};
  EXPECT_THROW(run_sweep(target, plan, 2, {}, {}), DataError);
}

TEST(LatencyPlot, is_well_formed_and_has_what_was_measured) {
  const std::string svg =
      draw_latencies({step(2000.0, 4.0), step(1000.0, 2.0), {.rate = 1500.0}, step(3000.0, 40.0)},
                     "a < b & \"c\"", 3210.4);
  EXPECT_EQ(left_open(svg), std::vector<std::string>());
  EXPECT_EQ(count_of(svg, "<polyline"), 4U);
  EXPECT_EQ(count_of(svg, "<circle"), 12U);  // the step without answers is left out
  for (const char* part :
       {"a &lt; b &amp; &quot;c&quot;", ">p99.9</text>", ">3,000</text>", "requests a second",
        "latency in milliseconds", "closed loop: 3,210", "prefers-color-scheme: dark"}) {
    EXPECT_NE(svg.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST(LatencyPlot, without_a_step_it_has_axes_only) {
  const std::string svg = draw_latencies({}, "nothing", 0.0);
  EXPECT_EQ(left_open(svg), std::vector<std::string>());
  EXPECT_EQ(count_of(svg, "<circle"), 0U);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
}

TEST(LoadReport, values_tables_and_remarks_say_what_happened) {
  LoadStep some = step(1000.0, 2.0);
  LoadResult& result = some.result;
  result.requests = 110;
  result.refused = 4;
  result.failed = 3;
  result.broken = 2;
  result.expired = 1;
  result.statuses = {{200, 100}, {429, 4}, {500, 3}};
  result.problem = "Connection reset by peer";
  result.generator_load = 0.97;
  result.throughput = 1234.5;
  const Value value = to_value(some);
  EXPECT_EQ(value.at("loop"), Value("open"));
  EXPECT_EQ(value.at("statuses").at("429"), Value(4));
  EXPECT_NEAR(value.at("latency_ms").at("p50").as_double(), 1.0, 0.01);
  EXPECT_DOUBLE_EQ(value.at("latency_ms").at("max").as_double(), 2.0);
  EXPECT_EQ(value.at("requests").as_int(),
            value.at("answered").as_int() + value.at("refused").as_int() +
                value.at("failed").as_int() + value.at("broken").as_int() +
                value.at("expired").as_int() + value.at("unfinished").as_int());
  EXPECT_EQ(
      load_remarks({some}),
      "4 requests refused by the server, which had too much to do (status 429)\n"
      "3 requests answered with status 500\n"
      "2 requests lost with their connection (Connection reset by peer)\n"
      "1 request not answered in time\n"
      "the load generator used 97 % of a core: the server may be faster than these figures\n");
  EXPECT_EQ(load_remarks({step(10.0, 1.0)}), "");
  const std::string table = load_table({some});
  EXPECT_EQ(count_of(table, "\n"), 3U);
  EXPECT_NE(table.find("1234"), std::string::npos) << table;
}

}  // namespace levin::load_sweep_test
