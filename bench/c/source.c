/* A libzmq PUSH source of one prepared message: for each line on stdin it sends `count` of them as fast as it can.
 * The file has the frames of the message, each behind its length as little-endian uint32. Large frames are not copied.
 * source PORT FILE COUNT */
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <zmq.h>

#define MAX_FRAMES 200000
#define COPY_BELOW 4096

static void keep(void *data, void *hint) { (void)data, (void)hint; }

int main(int argc, char **argv) {
    static unsigned char *frames[MAX_FRAMES];
    static uint32_t sizes[MAX_FRAMES];
    if (argc != 4) return 2;
    long count = atol(argv[3]), n = 0;
    FILE *file = fopen(argv[2], "rb");
    if (!file) return 1;
    for (; n < MAX_FRAMES && fread(&sizes[n], 4, 1, file) == 1; n++) {
        frames[n] = malloc(sizes[n] + 1);
        if (fread(frames[n], 1, sizes[n], file) != sizes[n]) return 1;
    }
    fclose(file);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* or it would outlive a benchmark that was killed */
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_PUSH);
    char address[64], line[64];
    snprintf(address, sizeof address, "tcp://127.0.0.1:%s", argv[1]);
    if (zmq_bind(socket, address)) return 1;
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        for (long m = 0; m < count; m++) {
            for (long i = 0; i < n; i++) {
                zmq_msg_t message;
                if (sizes[i] < COPY_BELOW) {
                    zmq_msg_init_size(&message, sizes[i]);
                    memcpy(zmq_msg_data(&message), frames[i], sizes[i]);
                } else {
                    zmq_msg_init_data(&message, frames[i], sizes[i], keep, NULL);
                }
                if (zmq_msg_send(&message, socket, i + 1 < n ? ZMQ_SNDMORE : 0) < 0) return 1;
            }
        }
        printf("sent\n");
        fflush(stdout);
    }
    int none = 0;
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    zmq_close(socket);
    zmq_ctx_term(context);
    return 0;
}
