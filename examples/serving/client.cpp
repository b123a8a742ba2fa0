// Asks a served model from C++ with libcurl: client URL MODEL ROWS.csv. LEVIN_TOKEN is sent if it
// is set. Prints the answer, and waits and asks again if the server has too much to do.
//
//     g++ -std=c++20 client.cpp -lcurl -o client
#include <curl/curl.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>

namespace {

size_t append(char* data, size_t size, size_t count, void* to) {
  static_cast<std::string*>(to)->append(data, size * count);
  return size * count;
}

/// Sends `rows` and returns the status; 0 if there was no answer. The connection stays open for the
/// next call.
long predict(CURL* curl, const std::string& url, const std::string& rows, std::string& answer) {
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(
      curl_slist_append(nullptr, "Content-Type: text/csv"), curl_slist_free_all);
  if (const char* token = std::getenv("LEVIN_TOKEN")) {
    curl_slist_append(headers.get(), (std::string("Authorization: Bearer ") + token).c_str());
  }
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, rows.data());
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(rows.size()));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, 30L);
  answer.clear();
  long status = 0;
  if (const CURLcode code = curl_easy_perform(curl); code != CURLE_OK) {
    answer = curl_easy_strerror(code);
  } else {
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  }
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: client URL MODEL ROWS.csv\n";
    return 2;
  }
  std::ifstream file(argv[3]);
  const std::string rows{std::istreambuf_iterator<char>(file), {}};
  const std::string url = std::string(argv[1]) + "/models/" + argv[2] + "/predict";
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(),
                                                                 curl_easy_cleanup);
  std::string answer;
  long status = predict(curl.get(), url, rows, answer);
  for (int attempt = 0; attempt < 3 && (status == 429 || status == 503); ++attempt) {
    curl_off_t seconds = 1;
    curl_easy_getinfo(curl.get(), CURLINFO_RETRY_AFTER, &seconds);
    std::this_thread::sleep_for(std::chrono::seconds(seconds));
    status = predict(curl.get(), url, rows, answer);
  }
  (status == 200 ? std::cout : std::cerr) << answer << '\n';
  return status == 200 ? 0 : 1;
}
