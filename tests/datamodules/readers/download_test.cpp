#include <levin/datamodules/readers/download.h>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <thread>

#include <gtest/gtest.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/digest.h>
#include <levin/datamodules/readers/download_printer.h>
#include <levin/framework/core/files.h>

#include "datamodules/readers/http_server.h"
#include "datamodules/readers/support.h"
#include "framework/launch/launcher_fixture.h"
#include "framework/message_of.h"
#include "framework/screen.h"

namespace levin::readers::download_test {

using test::expect_data_error;

/// 300,000 bytes that differ everywhere.
std::string make_body() {
  std::string body;
  while (body.size() < 300'000) body += std::to_string(body.size()) + ",";
  body.resize(300'000);
  return body;
}

// Row 14: obtain and verify.
class ReadersDownload : public testing::Test {
 protected:
  ReadersDownload() {
    ::setenv("no_proxy", "127.0.0.1", 1);
    options_.checksum.hex = digest_hex(DigestKind::sha256, bytes_of(body_));
    server_.serve("/good", {.body = body_});
  }
  ~ReadersDownload() override { files::inject_faults({}); }

  void download_from(const std::vector<std::string>& paths) {
    std::vector<std::string> urls;
    for (const auto& path : paths) urls.push_back(server_.url(path));
    download(urls, destination_, options_);
  }
  bool has_part() const { return std::filesystem::exists(part_); }
  bool has_destination() const { return std::filesystem::exists(destination_); }
  void expect_delivered() const {
    EXPECT_TRUE(has_destination() && test::read_file(destination_) == body_);
    EXPECT_FALSE(has_part());
  }
  /// The Range header of every request so far.
  std::vector<std::string> ranges() const {
    std::vector<std::string> ranges;
    for (const auto& request : server_.requests()) ranges.push_back(request.range);
    return ranges;
  }

  using Ranges = std::vector<std::string>;
  const std::string body_ = make_body();
  test::TemporaryFolder folder_;
  const std::filesystem::path destination_ = folder_ / "new_folder/file";
  const std::filesystem::path part_ = folder_ / "new_folder/file.part";
  test::HttpServer server_;
  DownloadOptions options_;
};

TEST_F(ReadersDownload, takes_the_first_mirror_that_delivers) {
  download_from({"/missing", "/good", "/never_asked"});
  expect_delivered();
  EXPECT_EQ(server_.requests().size(), 2u);
}

TEST_F(ReadersDownload, says_that_it_waits_for_another_process) {
  std::filesystem::create_directories(destination_.parent_path());
  const int other = ::open(destination_.parent_path().c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::flock(other, LOCK_EX), 0);
  std::atomic<int> looks{0};
  files::inject_clock([&] { return 10.0 * looks++; });  // ten seconds between two looks
  testing::internal::CaptureStderr();
  std::thread thread([&] { download_from({"/good"}); });
  // The second look shows more than 5 seconds.
  EXPECT_TRUE(test::eventually([&] { return looks >= 2; }));
  EXPECT_FALSE(has_destination());
  ::close(other);
  thread.join();
  files::inject_clock({});
  EXPECT_TRUE(test::says(testing::internal::GetCapturedStderr(),
                         {"waiting for another process that downloads into '"}));
  expect_delivered();
}

TEST_F(ReadersDownload, asks_for_the_rest_after_a_broken_connection) {
  server_.serve("/cut", {.body = body_, .cut_after = 100'000, .cuts = 2});
  download_from({"/cut"});
  expect_delivered();
  EXPECT_EQ(ranges(), (Ranges{"", "bytes=100000-", "bytes=200000-"}));
}

TEST_F(ReadersDownload, goes_on_at_the_next_mirror_where_the_last_one_broke_off) {
  options_.retries = 0;
  server_.serve("/cut", {.body = body_, .cut_after = 100'000});
  download_from({"/cut", "/good"});
  expect_delivered();
  EXPECT_EQ(ranges(), (Ranges{"", "bytes=100000-"}));
}

TEST_F(ReadersDownload, resumes_what_an_earlier_call_left) {
  options_.retries = 0;
  server_.serve("/cut", {.body = body_, .cut_after = 123'456});
  expect_data_error([&] { download_from({"/cut"}); }, server_.url("/cut"));
  EXPECT_FALSE(has_destination());
  EXPECT_EQ(std::filesystem::file_size(part_), 123'456u);
  download_from({"/good"});
  expect_delivered();
  EXPECT_EQ(ranges().back(), "bytes=123456-");
}

TEST_F(ReadersDownload, starts_again_where_the_server_ignores_the_range) {
  server_.serve("/no_ranges", {.body = body_, .ranges = false, .cut_after = 100'000, .cuts = 1});
  download_from({"/no_ranges"});
  expect_delivered();
  EXPECT_EQ(ranges(), (Ranges{"", "bytes=100000-"}));
}

TEST_F(ReadersDownload, starts_again_where_the_server_sends_another_part) {
  server_.serve("/wrong_part", {.body = body_, .range_error = 7, .cut_after = 100'000, .cuts = 1});
  download_from({"/wrong_part"});
  expect_delivered();
  EXPECT_EQ(ranges(), (Ranges{"", "bytes=100000-", ""}));
}

TEST_F(ReadersDownload, says_what_a_server_sent_instead_of_the_rest) {
  options_.retries = 1;
  server_.serve("/wrong_part", {.body = body_, .range_error = 7, .cut_after = 100'000, .cuts = 1});
  expect_data_error(
      [&] { download_from({"/wrong_part"}); },
      server_.url("/wrong_part") +
          ": it was asked for the bytes from 100000 on, but sent those from 100007\n");
  options_.retries = 0;
  test::write_text(part_, body_ + "longer");
  expect_data_error([&] { download_from({"/good"}); },
                    server_.url("/good") +
                        ": the 300006 bytes that an earlier download left aren't the start of its "
                        "file (HTTP 416)\n");
}

TEST_F(ReadersDownload, takes_a_part_that_is_whole_already) {
  files::create_folder(part_.parent_path());
  test::write_text(part_, body_);
  download_from({"/good"});
  expect_delivered();
  EXPECT_EQ(ranges(), Ranges{"bytes=300000-"});
}

TEST_F(ReadersDownload, drops_a_part_that_is_longer_than_the_file_or_of_another_one) {
  files::create_folder(part_.parent_path());
  test::write_text(part_, body_ + "longer");
  download_from({"/good"});
  expect_delivered();
  std::filesystem::remove(destination_);
  test::write_text(part_, std::string(1000, 'x'));
  download_from({"/good"});
  expect_delivered();
  EXPECT_EQ(ranges(), (Ranges{"bytes=300006-", "", "bytes=1000-", ""}));
}

TEST_F(ReadersDownload, resumes_nothing_that_a_checksum_cannot_verify) {
  options_.checksum = {};
  files::create_folder(part_.parent_path());
  test::write_text(part_, std::string(1000, 'x'));
  download_from({"/good"});
  expect_delivered();
  EXPECT_EQ(ranges(), Ranges{""});
}

TEST_F(ReadersDownload, deletes_a_file_with_a_wrong_checksum_and_tries_the_next_mirror) {
  server_.serve("/wrong", {.body = "<html>log in first</html>"});
  download_from({"/wrong", "/good"});
  expect_delivered();
  EXPECT_EQ(ranges(), (Ranges{"", ""}));
}

TEST_F(ReadersDownload, names_every_mirror_and_why_it_failed) {
  options_.retries = 1;
  const std::string page = "<html>log in first</html>";
  server_.serve("/wrong", {.body = page});
  server_.serve("/busy", {.body = "later", .status = 503});
  EXPECT_EQ(test::message_of<DataError>([&] {
              download_from({"/wrong", "/missing", "/busy"});
            }),
            "can't download '" + destination_.string() + "'; each mirror failed:\n  - " +
                server_.url("/wrong") + ": it sent a wrong file: its SHA-256 is " +
                digest_hex(DigestKind::sha256, bytes_of(page)) + ", but " + options_.checksum.hex +
                " was expected\n  - " + server_.url("/missing") + ": it answered HTTP 404\n  - " +
                server_.url("/busy") +
                ": it answered HTTP 503\nCheck the network, or put the file there by hand.");
  EXPECT_FALSE(has_destination());
  EXPECT_FALSE(has_part());
}

TEST_F(ReadersDownload, verifies_md5_and_the_uncompressed_bytes) {
  options_.checksum.hex = digest_hex(DigestKind::md5, bytes_of(body_));
  download_from({"/good"});
  expect_delivered();
  const std::string text = test::reader_baselines()["gzip_text"];
  const std::string packed = test::to_text(test::file_of(test::baseline("gzip", "two members")));
  server_.serve("/packed", {.body = packed});
  server_.serve("/damaged", {.body = packed.substr(0, 100)});
  options_.checksum = {digest_hex(DigestKind::sha256, bytes_of(text)), true};
  download_from({"/damaged", "/packed"});
  EXPECT_EQ(test::read_file(destination_), packed);
}

TEST_F(ReadersDownload, leaves_a_verified_destination_alone_and_replaces_another) {
  download_from({"/good"});
  download_from({"/good"});
  EXPECT_EQ(server_.requests().size(), 1u);
  test::write_text(destination_, "damaged");
  expect_data_error([&] { download_from({"/missing"}); }, "it answered HTTP 404");
  EXPECT_EQ(test::read_file(destination_), "damaged");
  download_from({"/good"});
  expect_delivered();
}

TEST_F(ReadersDownload, reads_file_urls) {
  test::write_text(folder_ / "source", body_);
  const std::string url = "file://" + (folder_ / "source").string();
  files::create_folder(part_.parent_path());
  test::write_text(part_, "of an earlier mirror");
  download({"file:///no/such/file", url}, destination_, options_);
  expect_delivered();
  expect_data_error([&] { download({"file:///no/such/file"}, folder_ / "other", options_); },
                    "file:///no/such/file");
}

TEST_F(ReadersDownload, gives_up_a_mirror_that_falls_silent_or_cannot_be_reached) {
  options_.stall_timeout = 2.0;
  options_.retries = 0;
  server_.serve("/stalls", {.body = body_, .cut_after = 0, .stall = true});  // for ever
  download({"http://127.0.0.1:1/refused", server_.url("/stalls"), server_.url("/good")},
           destination_, options_);
  expect_delivered();
  EXPECT_EQ(ranges(), (Ranges{"", ""}));
}

TEST_F(ReadersDownload, notices_a_short_file_of_unknown_length) {
  server_.serve("/short", {.body = body_, .cut_after = 10, .content_length = false});
  expect_data_error([&] { download_from({"/short"}); }, "SHA-256");
  EXPECT_FALSE(has_part());
}

TEST_F(ReadersDownload, follows_redirects_but_not_to_local_files) {
  server_.serve("/moved", {.status = 302, .location = server_.url("/good")});
  download_from({"/moved"});
  expect_delivered();
  test::write_text(folder_ / "secret", body_);
  server_.serve("/evil", {.status = 302, .location = "file://" + (folder_ / "secret").string()});
  std::filesystem::remove(destination_);
  EXPECT_THROW(download_from({"/evil"}), DataError);
  EXPECT_FALSE(has_destination());
}

TEST_F(ReadersDownload, obtains_an_empty_file) {
  server_.serve("/empty", {});
  options_.checksum.hex = "d41d8cd98f00b204e9800998ecf8427e";
  download_from({"/empty"});
  EXPECT_TRUE(has_destination());
  EXPECT_EQ(std::filesystem::file_size(destination_), 0u);
}

TEST_F(ReadersDownload, reports_progress_of_the_whole_file) {
  server_.serve("/cut", {.body = body_, .cut_after = 100'000, .cuts = 1});
  std::vector<int64_t> done;
  int finished = 0;
  options_.progress = [&](const DownloadProgress& progress) {
    done.push_back(progress.done);
    EXPECT_EQ(progress.total, 300'000);
    EXPECT_EQ(progress.url, server_.url("/cut"));
    finished += progress.finished ? 1 : 0;
  };
  download_from({"/cut"});
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
  EXPECT_EQ(done.back(), 300'000);
  EXPECT_EQ(finished, 1);
}

TEST_F(ReadersDownload, passes_on_what_the_progress_function_throws_and_keeps_the_part) {
  options_.progress = [](const DownloadProgress&) { throw std::runtime_error("interrupted"); };
  EXPECT_THROW(download_from({"/good"}), std::runtime_error);
  EXPECT_FALSE(has_destination());
  ASSERT_TRUE(has_part());
  const auto kept = std::filesystem::file_size(part_);
  EXPECT_GT(kept, 0u);
  options_.progress = {};
  download_from({"/good"});
  expect_delivered();
  EXPECT_EQ(ranges().back(), "bytes=" + std::to_string(kept) + "-");
}

TEST_F(ReadersDownload, reports_a_full_disk_and_leaves_no_destination) {
  for (const char* operation : {"write", "sync", "rename"}) {
    SCOPED_TRACE(operation);
    files::inject_faults(
        [&](const files::Operation& step) { return step.name == operation ? ENOSPC : 0; });
    expect_data_error([&] { download_from({"/good"}); }, "No space left");
    EXPECT_FALSE(has_destination());
  }
  files::inject_faults({});
  download_from({"/good"});
  expect_delivered();
}

TEST_F(ReadersDownload, refuses_options_and_folders_it_cannot_use) {
  EXPECT_EQ(test::message_of<ConfigError>([&] { download({}, destination_, options_); }),
            "urls = []: must name at least one mirror");
  options_.checksum.hex = "1234";
  EXPECT_EQ(test::message_of<ConfigError>([&] { download_from({"/good"}); }),
            "checksum = 1234: must be 32 hexadecimal digits (an MD5) or 64 (a SHA-256)");
  options_.checksum = {};
  test::write_text(folder_ / "file", "");
  EXPECT_THROW(download({server_.url("/good")}, folder_ / "file/inside", options_), DataError);
  EXPECT_TRUE(server_.requests().empty());
}

TEST_F(ReadersDownload, lets_one_of_several_downloads_of_a_file_do_the_work) {
  options_.progress = [](const DownloadProgress& progress) {  // time for the others to come
    if (progress.done < 50'000) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] { EXPECT_NO_THROW(download_from({"/good"})); });
  for (auto& thread : threads) thread.join();
  expect_delivered();
  EXPECT_EQ(server_.requests().size(), 1u);
}

// --- what is shown ---------------------------------------------------------------------------

/// What is printed if a tenth of a second passes between two calls.
std::string printed(bool live, const std::vector<DownloadProgress>& calls) {
  std::FILE* const file = std::tmpfile();
  std::optional<DownloadPrinter> printer;
  printer.emplace("images.gz", file, Terminal{.live = live, .width = 80});
  double now = 5.0;
  files::inject_clock([&] { return now += 0.1; });
  for (const auto& call : calls) (*printer)(call);
  files::inject_clock({});
  std::string text(static_cast<size_t>(std::ftell(file)), '\0');
  std::rewind(file);
  EXPECT_EQ(std::fread(text.data(), 1, text.size(), file), text.size());
  printer.reset();  // writes once more if a bar isn't finished
  std::fclose(file);
  return text.substr(0, text.find(" s\n"));
}

TEST(ReadersDownloadPrinter, prints_a_line_for_every_tenth_into_a_file) {
  std::vector<DownloadProgress> calls;
  for (int64_t done = 0; done <= 1'000'000; done += 50'000) {
    calls.push_back({"http://a", done, 1'000'000, false});
  }
  calls.push_back({"http://a", 1'000'000, 1'000'000, true});
  const std::string text = printed(false, calls);
  EXPECT_EQ(text.substr(0, 58), "images.gz: 10 % of 1.0 MB\nimages.gz: 20 % of 1.0 MB\nimages");
  EXPECT_NE(text.find("images.gz: 100 % of 1.0 MB\nimages.gz: 1.0 MB, done in 2.1"), text.npos);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 10);
  EXPECT_EQ(text.find('\r'), text.npos);
}

TEST(ReadersDownloadPrinter, starts_over_at_another_mirror) {
  const std::string text =
      printed(false, {{"a", 60, 100, false}, {"b", 10, 100, false}, {"b", 60, 100, false}});
  EXPECT_EQ(text,
            "images.gz: 60 % of 0.0 MB\nimages.gz: 10 % of 0.0 MB\nimages.gz: 60 % of 0.0 MB\n");
}

TEST(ReadersDownloadPrinter, prints_megabytes_where_the_size_is_unknown) {
  const std::string text = printed(
      false,
      {{"a", 5'000'000, -1, false}, {"a", 12'000'000, -1, false}, {"a", 13'000'000, -1, false}});
  EXPECT_EQ(text, "images.gz: 12.0 MB\n");
}

TEST(ReadersDownloadPrinter, draws_a_bar_on_a_terminal) {
  test::Screen screen(80);
  screen.send(printed(true, {{"a", 500'000, 1'000'000, false}}));
  EXPECT_TRUE(test::says(screen.text(), {"z  |###############               | 50 %  0.5/1.0 MB"}));
  screen = test::Screen(80);
  screen.send(printed(true, {{"a", 500'000, 1'000'000, false}, {"a", 1'000'000, 1'000'000, true}}));
  EXPECT_EQ(screen.text(), "images.gz: 1.0 MB, done in 0.1\n");
}

}  // namespace levin::readers::download_test
