/* A relay that keeps nothing: passes on what comes, in both directions, without a look at it. What it takes away from a direct link
 * is what the machine takes for one more pass of every byte through the loopback device: no relay can be faster here.
 * Large pieces, one buffer that stays in the processor's cache, a thread for each direction.
 * proxy PORT SOURCE_PORT */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE (1 << 20)

static int ends[2];

static void *pass(void *from) {
    int in = ends[*(int *)from], out = ends[!*(int *)from];
    char *piece = malloc(PIECE);
    for (ssize_t n; (n = recv(in, piece, PIECE, 0)) > 0;)
        for (ssize_t sent = 0, m; sent < n; sent += m)
            if ((m = send(out, piece + sent, n - sent, MSG_NOSIGNAL)) <= 0) return NULL;
    shutdown(out, SHUT_WR);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* or it would outlive a benchmark that was killed */
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(atoi(argv[1]))};
    struct sockaddr_in there = here;
    there.sin_port = htons(atoi(argv[2]));
    int server = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(server, (struct sockaddr *)&here, sizeof here) || listen(server, 1)) return 1;
    printf("ready\n");
    fflush(stdout);
    ends[0] = accept(server, NULL, NULL);
    ends[1] = socket(AF_INET, SOCK_STREAM, 0);
    if (ends[0] < 0 || connect(ends[1], (struct sockaddr *)&there, sizeof there)) return 1;
    for (int i = 0; i < 2; i++) setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    int client = 0, source = 1;
    pthread_t back;
    pthread_create(&back, NULL, pass, &client);
    pass(&source);
    return 0;
}
