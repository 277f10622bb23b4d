/* A libzmq PULL loop, the least that a C program can do: receives messages of `count` per round, and after each round prints
 * wall seconds from the round's first to its last message, CPU seconds of the whole process since the last line, and bytes.
 * sink ADDRESS COUNT ROUNDS */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <sys/prctl.h>
#include <zmq.h>

static double wall(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static double cpu(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    long count = atol(argv[2]), rounds = atol(argv[3]);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* or it would outlive a benchmark that was killed */
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_PULL);
    if (zmq_connect(socket, argv[1])) return 1;
    printf("ready\n");
    fflush(stdout);
    double last_cpu = cpu();
    for (long r = 0; r < rounds; r++) {
        double first = 0;
        long long bytes = 0;
        for (long m = 0; m < count; m++) {
            int more = 1;
            while (more) {
                zmq_msg_t message;
                zmq_msg_init(&message);
                if (zmq_msg_recv(&message, socket, 0) < 0) return 1;
                bytes += zmq_msg_size(&message);
                more = zmq_msg_more(&message);
                zmq_msg_close(&message);
            }
            if (m == 0) first = wall();
        }
        double now = cpu();
        printf("round %.9f %.6f %lld\n", wall() - first, now - last_cpu, bytes);
        fflush(stdout);
        last_cpu = now;
    }
    zmq_close(socket);
    zmq_ctx_term(context);
    return 0;
}
