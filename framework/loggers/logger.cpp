#include <levin/framework/loggers/logger.h>

#include <array>

#include <fmt/format.h>

#include <levin/framework/core/diagnostics.h>

namespace levin {

void Logger::log_text(std::string_view tag, std::string_view /*text*/, int64_t /*step*/) {
  ignore(Kind::text, tag);
}

void Logger::log_image(std::string_view tag, const torch::Tensor& /*image*/, int64_t /*step*/) {
  ignore(Kind::image, tag);
}

void Logger::log_histogram(std::string_view tag, const torch::Tensor& /*values*/,
                           int64_t /*step*/) {
  ignore(Kind::histogram, tag);
}

void Logger::log_artifact(const std::filesystem::path& file, std::string_view /*folder*/) {
  ignore(Kind::artifact, file.string());
}

void Logger::ignore(Kind kind, std::string_view name) {
  const unsigned bit = 1U << static_cast<unsigned>(kind);
  if ((ignored_ & bit) != 0) return;
  ignored_ |= bit;
  constexpr std::array<std::string_view, 4> kNames{"texts", "images", "histograms", "files"};
  diagnostics::print(
      fmt::format("note: {} keeps no {}, so '{}' and those that follow aren't in "
                  "its log\n",
                  unqualified_name(typeid(*this)), kNames[static_cast<size_t>(kind)], name));
}

}  // namespace levin
