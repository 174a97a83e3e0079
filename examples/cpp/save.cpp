// Saves a run as it is computed: save [ROWS] [UPLOAD_ID]. The same upload id again goes on where the last try stopped.
#include <grpcpp/grpcpp.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "optistore/v1/storage_service.grpc.pb.h"

using namespace optistore::v1;
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers travel as little-endian bytes: swap them here");

void add_variable(Problem* problem, const char* name, VariableRole role, Direction direction) {
  Variable* variable = problem->add_variables();
  variable->set_name(name);
  variable->set_role(role);
  variable->set_direction(direction);
  variable->set_value_type(VALUE_TYPE_FLOAT64);
}

int main(int argc, char** argv) {
  const uint64_t row_count = argc > 1 ? std::stoull(argv[1]) : 1000;
  const char* server = std::getenv("OPTISTORE_SERVER");
  auto channel = grpc::CreateChannel(server ? server : "127.0.0.1:50051", grpc::InsecureChannelCredentials());
  auto stub = StorageService::NewStub(channel);

  SaveResultRequest request;
  SaveOpen* open = request.mutable_open();
  open->set_key("runs/cpp");
  open->set_upload_id(argc > 2 ? argv[2] : "cpp-1");
  add_variable(open->mutable_problem(), "x", VARIABLE_ROLE_DESIGN_VARIABLE, DIRECTION_UNSPECIFIED);
  add_variable(open->mutable_problem(), "f", VARIABLE_ROLE_OBJECTIVE, DIRECTION_MINIMIZE);

  grpc::ClientContext context;
  auto stream = stub->SaveResult(&context);
  SaveResultResponse response;
  uint64_t row = 0;
  // A write or read that fails says why in Finish.
  if (stream->Write(request) && stream->Read(&response)) row = response.opened().next_row();
  std::cout << "from row " << row << std::endl;

  // Acks are read while rows are written: a stream whose answers nobody reads comes to a halt.
  std::thread reader([&] {
    SaveResultResponse answer;
    while (stream->Read(&answer)) {
      if (answer.has_ack()) std::cout << answer.ack().durable_row_count() << " rows are safe" << std::endl;
      if (answer.has_committed()) std::cout << "revision " << answer.committed().result().revision() << std::endl;
    }
  });
  while (row < row_count) {
    std::vector<double> x, f;  // A generation: some hundred KiB are a good message, 4 MiB the most.
    for (uint64_t i = row; i < row_count && x.size() < 100; i++) {
      x.push_back(i / 100.0 - 5);
      f.push_back(x.back() * x.back());
    }
    RowBatch* batch = request.mutable_batch();
    batch->Clear();
    batch->set_first_row(row);
    batch->set_row_count(x.size());
    for (const auto* values : {&x, &f})
      batch->add_columns()->set_float64_values(values->data(), values->size() * sizeof(double));
    if (!stream->Write(request)) break;
    row += x.size();
  }
  request.mutable_commit()->set_row_count(row_count);
  stream->Write(request);
  stream->WritesDone();
  reader.join();
  const grpc::Status status = stream->Finish();
  if (!status.ok()) std::cerr << status.error_message() << std::endl;
  return status.ok() ? 0 : 1;
}
