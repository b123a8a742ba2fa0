#include <levin/serving/http/http_server.h>
#include <levin/serving/service/service.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "framework/python.h"
#include "serving/service/fake_backend.h"

namespace levin::page_test {
namespace {

/// A drawing is a "1" (class 1) if its ink is at least twice as high as wide, otherwise a "0". The
/// pixels must be those of MNIST: from 0 to 1, the ink in the middle, at most 20 pixels long.
int64_t one_or_zero(const float* row, int64_t size) {
  int64_t left = 28, right = -1, top = 28, bottom = -1;
  double mass = 0.0, mass_x = 0.0, mass_y = 0.0;
  for (int64_t i = 0; i < size; ++i) {
    if (row[i] < 0.0f || row[i] > 1.0f) return 9;
    mass += row[i];
    mass_x += row[i] * (static_cast<double>(i % 28) + 0.5);
    mass_y += row[i] * (static_cast<double>(i / 28) + 0.5);
    if (row[i] < 0.3f) continue;
    left = std::min(left, i % 28);
    right = std::max(right, i % 28);
    top = std::min(top, i / 28);
    bottom = std::max(bottom, i / 28);
  }
  const bool is_centred =
      mass > 0.0 && std::abs(mass_x / mass - 14.0) < 1.0 && std::abs(mass_y / mass - 14.0) < 1.0;
  const int64_t width = right - left + 1;
  const int64_t height = bottom - top + 1;
  if (!is_centred || std::max(width, height) < 16 || std::max(width, height) > 22) return 9;
  return height >= 2 * width ? 1 : 0;
}

TEST(ServicePage, ShowsWhatModelsAnswerInChromium) {
  if (test::python().empty()) GTEST_SKIP() << "LEVIN_PYTHON isn't set";
  test::FakeBackend backend;
  const ModelMetadata numbers = [&] {
    ModelMetadata model = backend.metadata.front();
    model.name = "numbers";
    return model;
  }();
  ModelMetadata digits = numbers;
  digits.name = "digits";
  digits.kind = InputKind::image;
  digits.inputs = {{"input", WireType::fp32, {-1, 784}}};
  digits.class_names = {"zero", "one", "two",   "three", "four",
                        "five", "six", "seven", "eight", "nine"};
  ModelMetadata flowers = numbers;
  flowers.name = "flowers";
  flowers.version = "2";
  flowers.columns = {"sepal length", "sepal width", "petal length", "petal width"};
  backend.metadata = {digits, flowers, numbers};
  backend.classify = [](const float* row, int64_t size) {
    if (size == 784) return one_or_zero(row, size);
    float sum = 0.0f;
    for (int64_t i = 0; i < size; ++i) sum += row[i];
    return sum > 0.0f ? int64_t{1} : int64_t{0};
  };
  HttpServer server({.port = 0, .token = "s3cret", .open_paths = {"/", "/page.css", "/page.js"}},
                    service(backend));
  std::vector<std::string> arguments = {std::to_string(server.port()), "s3cret"};
  if (const char* folder = std::getenv("LEVIN_SCREENSHOTS")) arguments.emplace_back(folder);
  const auto result = test::run_python("../serving/service/page.py", arguments);
  if (result.status == 77) GTEST_SKIP() << result.output;
  EXPECT_EQ(result.status, 0) << result.output;
}

}  // namespace
}  // namespace levin::page_test
