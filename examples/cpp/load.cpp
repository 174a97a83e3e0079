// Prints a column of a result: load KEY COLUMN.
#include <grpcpp/grpcpp.h>

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <limits>
#include <vector>

#include "optistore/v1/storage_service.grpc.pb.h"

using namespace optistore::v1;

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const char* server = std::getenv("OPTISTORE_SERVER");
  auto channel = grpc::CreateChannel(server ? server : "127.0.0.1:50051", grpc::InsecureChannelCredentials());
  auto stub = StorageService::NewStub(channel);

  LoadResultRequest request;
  request.set_key(argv[1]);
  request.add_columns(argv[2]);
  grpc::ClientContext context;
  auto stream = stub->LoadResult(&context, request);
  LoadResultResponse response;
  std::vector<double> column;
  while (stream->Read(&response)) {
    if (!response.has_batch()) continue;  // The header comes first, the trailer last.
    const std::string& bytes = response.batch().columns(0).float64_values();
    const size_t before = column.size();
    column.resize(before + bytes.size() / sizeof(double));
    // Copied, since the bytes of a message lie anywhere; a missing value is a 0 whose bit in `validity` is 0.
    if (!bytes.empty()) std::memcpy(&column[before], bytes.data(), bytes.size());
  }
  const grpc::Status status = stream->Finish();
  if (!status.ok()) std::cerr << status.error_message() << std::endl;
  std::cout.precision(std::numeric_limits<double>::max_digits10);
  for (const double value : column) std::cout << value << "\n";
  return status.ok() ? 0 : 1;
}
