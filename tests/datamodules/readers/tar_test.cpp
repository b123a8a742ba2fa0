#include <levin/datamodules/readers/tar.h>

#include "datamodules/readers/support.h"
#include "datamodules/readers/tar_support.h"

#include <gtest/gtest.h>

#include <levin/datamodules/readers/bytes.h>

namespace levin::tar_test {

using test::tar_member;
using test::to_bytes;
using test::to_text;

std::vector<std::pair<std::string, std::string>> files_of(const std::string& archive) {
  const auto bytes = to_bytes(archive);
  std::vector<std::pair<std::string, std::string>> files;
  for (const auto& [path, content] : readers::tar_entries(bytes, "a.tar")) {
    files.emplace_back(path, to_text(content));
  }
  return files;
}

const std::string kTarEnd(1024, '\0');

TEST(Tar, lists_regular_files_with_their_bytes_and_no_folders_or_links) {
  const auto archive = tar_member("d/", "", '5') + tar_member("d/a.bin", std::string(700, 'x')) +
                       tar_member("d/link", "", '2') + tar_member("./b", "", '\0') +
                       tar_member("c", std::string(512, 'c')) + kTarEnd;
  const auto files = files_of(archive);
  ASSERT_EQ(files.size(), 3U);
  EXPECT_EQ(files[0], std::pair(std::string("d/a.bin"), std::string(700, 'x')));
  EXPECT_EQ(files[1], std::pair(std::string("b"), std::string()));
  EXPECT_EQ(files[2], std::pair(std::string("c"), std::string(512, 'c')));
  EXPECT_EQ(files_of(archive.substr(0, archive.size() - 1024)), files)
      << "an archive without the zeros at its end";
}

TEST(Tar, long_paths_are_those_of_gnu_and_pax_headers) {
  const std::string path = std::string(150, 'p') + "/x";
  EXPECT_EQ(files_of(tar_member("././@LongLink", path + '\0', 'L') + tar_member("pppp", "1"))[0],
            std::pair(path, std::string("1")));
  const std::string record = " path=" + path + "\n";
  const auto pax = "21 ctime=1700000000.\n" + std::to_string(record.size() + 3) + record;
  EXPECT_EQ(files_of(tar_member("PaxHeaders/x", pax, 'x') + tar_member("pppp", "2") +
                     tar_member("y", "3")),
            (std::vector<std::pair<std::string, std::string>>{{path, "2"}, {"y", "3"}}));
}

TEST(Tar, cut_and_altered_headers_are_refused) {
  const auto archive = tar_member("a", "12345") + tar_member("b", "6");
  test::expect_data_error(
      [&] { files_of(archive.substr(0, 300)); },
      "'a.tar' is damaged or of another format: the tar archive ends within a header at byte 0");
  test::expect_data_error([&] { files_of(archive.substr(0, 514)); },
                          "ends within the member whose header is at byte 0");
  auto altered = archive;
  altered[1024] = 'c';
  test::expect_data_error([&] { files_of(altered); }, "a wrong checksum at byte 1024");
}

TEST(Tar, mutated_archives_are_read_or_refused) {
  const auto archive = to_bytes(tar_member("PaxHeaders/x", "11 path=yy\n", 'x') +
                                tar_member("a", "12345", '0') + kTarEnd);
  const auto parse = [](const readers::Bytes& changed, const std::string&) {
    size_t bytes = 0;
    for (const auto& entry : readers::tar_entries(changed, "a.tar")) bytes += entry.bytes.size();
    return bytes <= changed.size();
  };
  EXPECT_GT(test::refused_mutations(archive, parse), 2000U);
}

}  // namespace levin::tar_test
